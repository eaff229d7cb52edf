"""What collectors say is missing: the events of the type `gap`."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Gap:
    """Ids that an exchange counted, or closed bars, that the collector did not receive."""

    exchange: str
    symbol: str
    # The type whose ids they are: trade, aggTrade; kline: the bars that opened from `first` to `last`, ns.
    of: str
    first: int
    last: int
    # open, repaired, absent (the exchange does not have them), lost.
    state: str
    cause: str
    # Of bars: 1m, 1h, …
    interval: str = ""

    @staticmethod
    def of_event(event: dict) -> "Gap":
        """A gap event as it was published."""
        return Gap(
            event["exchange"], event.get("symbol", ""), event["of"], event["firstMissing"], event["lastMissing"],
            event["state"], event["cause"], event.get("interval", ""))


class GapBook:
    """Which ids are missing now, after all gap events so far."""

    def __init__(self):
        self._open: dict[tuple[str, str, str, str], list[tuple[int, int]]] = {}

    def add(self, gap: Gap):
        """`open` adds ids; `repaired` and `absent` take them away; `lost` ones stay."""
        key = (gap.exchange, gap.symbol, gap.of, gap.interval)
        # Stretches [first, last], apart from each other.
        rest = []
        for first, last in self._open.get(key, []):
            if last < gap.first or first > gap.last:
                rest.append((first, last))
                continue
            if first < gap.first:
                rest.append((first, gap.first - 1))
            if last > gap.last:
                rest.append((gap.last + 1, last))
        if gap.state in ("open", "lost"):
            rest.append((gap.first, gap.last))
        if rest:
            self._open[key] = sorted(rest)
        else:
            self._open.pop(key, None)

    def missing(
        self, exchange: str, symbol: str, of: str = "trade", interval: str = ""
    ) -> list[tuple[int, int]]:
        """First and last id of each stretch that is missing, ascending."""
        return list(self._open.get((exchange, symbol, of, interval), []))
