"""Recorded feeds: which files there are, and what to subscribe to so that a replayer sends all that can be asked for."""

import json
import re
import subprocess
from pathlib import Path

import harness

WINDOWS = {"ticker": "24h", "ticker_1h": "1h", "ticker_4h": "4h", "ticker_1d": "1d"}
TYPES = {
    "trade": "trade", "aggTrade": "aggTrade", "bookTicker": "bookTicker", "miniTicker": "miniTicker",
    "avgPrice": "averagePrice",
}


def spot_files() -> list[Path]:
    """All recordings of Binance spot. `by-type` holds the same frames again, so it is left out."""
    home = harness.FEEDS / "binance-spot"
    return sorted(home.glob("sessions/*.ndjson*")) + sorted(home.glob("unit/*.ndjson"))


def frames(path: Path) -> list[bytes]:
    if path.suffix == ".zst":
        data = subprocess.run(["zstd", "-dcq", path], check=True, capture_output=True).stdout
    else:
        data = path.read_bytes()
    return data.splitlines()


def stream_of(frame: bytes) -> str | None:
    """The stream that a frame came on; all-market arrays were recorded without their wrapper."""
    match = re.match(rb'\{"stream":\s*"([^"]+)"', frame)
    if match:
        return match.group(1).decode()
    value = json.loads(frame)
    if isinstance(value, list) and value:
        return {"24hrMiniTicker": "!miniTicker@arr", "24hrTicker": "!ticker@arr"}.get(value[0].get("e"))
    return None


def subscriptions(streams) -> list[dict]:
    """Subscriptions for those streams that the collector knows; depth is not among them."""
    symbols: dict[tuple, list[str]] = {}
    for stream in streams:
        if stream in ("!miniTicker@arr", "!ticker@arr"):
            # A subscription of its own: "*" stands alone.
            symbols.setdefault(("miniTicker" if "mini" in stream else "ticker", "all"), []).append("*")
            continue
        symbol, _, kind = stream.partition("@")
        if kind in TYPES:
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
        if len(key) == 3 and key[1:] != ("window", "24h"):
            entry[key[1]] = key[2]
        result.append(entry)
    return result
