"""Recorded feeds: which files there are, and what to subscribe to so that a replayer sends all that can be asked for."""

import json
import re
import subprocess
from pathlib import Path

import harness

WINDOWS = {"ticker": "24h", "ticker_1h": "1h", "ticker_4h": "4h", "ticker_1d": "1d"}
TYPES = {
    "trade": "trade", "aggTrade": "aggTrade", "bookTicker": "bookTicker", "miniTicker": "miniTicker",
    "avgPrice": "averagePrice", "markPrice@1s": "markPrice", "markPrice": "markPrice",
}
# What only futures have.
FUTURES = {"!bookTicker", "!markPrice@arr", "!markPrice@arr@1s"}


# The streams of what was recorded without its wrapper.
SUFFIXES = {
    "24hrMiniTicker": "miniTicker", "24hrTicker": "ticker", "markPriceUpdate": "markPrice", "trade": "trade",
    "aggTrade": "aggTrade", "bookTicker": "bookTicker",
}


def spot_files() -> list[Path]:
    """All recordings of Binance spot."""
    return files("spot")


def files(market: str) -> list[Path]:
    """All recordings of a market of Binance. `by-type` holds the same frames again, so it is left out."""
    home = harness.FEEDS / f"binance-{market}"
    return sorted(home.glob("sessions/*.ndjson*")) + sorted(home.glob("unit/*.ndjson"))


def frames(path: Path) -> list[bytes]:
    if path.suffix == ".zst":
        data = subprocess.run(["zstd", "-dcq", path], check=True, capture_output=True).stdout
    else:
        data = path.read_bytes()
    return data.splitlines()


def stream_of(frame: bytes) -> str | None:
    """The stream that a frame came on; some were recorded without their wrapper."""
    match = re.match(rb'\{"stream":\s*"([^"]+)"', frame)
    if match:
        return match.group(1).decode()
    value = json.loads(frame)
    is_array = isinstance(value, list) and bool(value)
    row = value[0] if is_array else value
    if not isinstance(row, dict):
        return None
    suffix = SUFFIXES.get(row.get("e"))
    if suffix is None:
        return None
    return f"!{suffix}@arr" if is_array else f"{row['s'].lower()}@{suffix}"


def subscriptions(streams, market: str = "spot") -> list[dict]:
    """Subscriptions for those streams that the collector knows; depth is not among them."""
    symbols: dict[tuple, list[str]] = {}
    for stream in streams:
        if stream.startswith("!"):
            if stream in ("!miniTicker@arr", "!ticker@arr") or (market != "spot" and stream in FUTURES):
                # A subscription of its own: "*" stands alone.
                kind = stream[1:].partition("@")[0]
                speed = ("updateSpeed", "1s" if stream.endswith("@1s") else "3s") if kind == "markPrice" else ()
                symbols.setdefault((kind, *speed, "all"), []).append("*")
            continue
        symbol, _, kind = stream.partition("@")
        if market == "spot" and kind.startswith("markPrice"):
            continue
        if kind.startswith("markPrice") and kind in TYPES:
            key = ("markPrice", "updateSpeed", "1s" if kind.endswith("@1s") else "3s")
        elif kind in TYPES:
            key = (TYPES[kind],)
        elif kind in WINDOWS:
            key = ("ticker", "window", WINDOWS[kind])
        elif kind.startswith("kline_"):
            key = ("kline", "interval", kind.removeprefix("kline_"))
        else:
            continue
        symbols.setdefault(key, []).append(symbol.upper())
    result = []
    for key, names in symbols.items():
        entry = {"type": key[0], "symbols": sorted(set(names))}
        if len(key) >= 3 and key[1:] != ("window", "24h"):
            entry[key[1]] = key[2]
        result.append(entry)
    return result
