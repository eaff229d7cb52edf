"""Figures of the fault runs: summed up, printed, judged."""

import statistics

from scenario import ENDS, PLANNED


def percentiles(values: list[float]) -> dict | None:
    if not values:
        return None
    ordered = sorted(values)
    return {
        "p50": statistics.median(ordered), "p99": ordered[min(len(ordered) - 1, int(len(ordered) * 0.99))],
        "max": ordered[-1],
    }


def summarise(result: dict) -> dict:
    if "kinds" not in result:
        return result
    for figures in result["kinds"].values():
        for name in ("reconnect", "data"):
            figures[name] = percentiles(figures[name])
    return result


def table(results: dict, purposes: dict[str, str]):
    def cell(value: dict | None) -> str:
        return f"{value['p50']:>8.0f}{value['p99']:>8.0f}{value['max']:>8.0f}" if value else " " * 7 + "–" + " " * 16
    for name, result in results.items():
        print(f"\n{name}: {purposes[name]}")
        if "kinds" not in result:
            for key, value in result.items():
                print(f"  {key:<42}{value if isinstance(value, str) else format(value, ',.1f')}")
            continue
        print(f"  {'':<38}{'runs':>5}{'reconnect ms':>16}{'':8}{'data ms':>19}{'':5}{'lost':>6}{'twice':>6}{'told':>8}{'gaps':>6}{'never':>6}")
        print(f"  {'':<43}{'p50':>8}{'p99':>8}{'max':>8}{'p50':>8}{'p99':>8}{'max':>8}")
        for kind, figures in result["kinds"].items():
            print(
                f"  {kind:<38}{figures['runs']:>5}{cell(figures['reconnect'])}{cell(figures['data'])}{figures['lost']:>6}"
                f"{figures['twice']:>6}{figures['told']:>8}{figures['gaps']:>6}{figures['never']:>6}")
        print(f"  {result['published']:,} trades published, {result['deadLetters']} dead letters"
              + ("" if result["exchangePauseMs"] is None else f"; the exchange itself paused for {result['exchangePauseMs']:.0f} ms at most"))


def verdict(results: dict) -> list[str]:
    """What must not be."""
    wrong = []
    for name, result in results.items():
        pair = name.startswith("legs")
        for kind, figures in result.get("kinds", {}).items():
            # With two legs the other one delivers, and a leg may wait for its fault to pass.
            for what in ("lost", "twice") if pair else ("lost", "twice", "never"):
                if figures[what]:
                    wrong.append(f"{name}, {kind}: {figures[what]} {what}")
            planned = kind in PLANNED or "rollover" in name
            # What one leg leaves out the other one brings.
            harmless = pair or kind in ("3 ids repeated", "frame of garbage")
            if figures["gaps"] and (planned or harmless or kind == "(no fault)"):
                wrong.append(f"{name}, {kind}: {figures['gaps']} gaps where there should be none")
            if name == "single" and kind in ENDS and figures["reconnect"] and figures["reconnect"]["p99"] > 500:
                wrong.append(f"{name}, {kind}: reconnect p99 {figures['reconnect']['p99']:.0f} ms")
    return wrong
