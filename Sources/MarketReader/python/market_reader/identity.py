"""Ids of trades and aggregate trades: repeats that come under another sequence are told by them."""

from bisect import bisect_right

# After a crash a collector publishes again what it cannot know to be safe; redundant collectors publish everything twice.
IDENTITIES = {"trade": "tradeId", "aggTrade": "aggregateId"}


class _Ids:
    """Ids that were seen, as stretches [first, end)."""

    __slots__ = ("firsts", "ends", "floor", "newest")
    # Of what lies below the oldest stretch that is remembered, everything counts as new: better twice than never.
    STRETCHES = 256

    def __init__(self):
        self.firsts: list[int] = []
        self.ends: list[int] = []
        self.newest = 0

    def add(self, identity: int) -> bool:
        """Whether it is new."""
        index = bisect_right(self.firsts, identity) - 1
        if index >= 0 and identity < self.ends[index]:
            return False
        joins_below = index >= 0 and self.ends[index] == identity
        joins_above = index + 1 < len(self.firsts) and self.firsts[index + 1] == identity + 1
        if joins_below and joins_above:
            self.ends[index] = self.ends.pop(index + 1)
            self.firsts.pop(index + 1)
        elif joins_below:
            self.ends[index] = identity + 1
        elif joins_above:
            self.firsts[index + 1] = identity
        else:
            self.firsts.insert(index + 1, identity)
            self.ends.insert(index + 1, identity + 1)
            if len(self.firsts) > self.STRETCHES:
                self.firsts.pop(0)
                self.ends.pop(0)
        return True


class IdentityBook:
    """Which trades were handed on, by exchange, symbol and type."""

    # An id that goes back, of a trade so much newer than all before, means that the exchange counts anew; ns.
    RESTART_MARGIN = 1_000_000_000

    def __init__(self):
        self._ids: dict[tuple[str, str, str], _Ids] = {}

    def is_new(self, event: dict) -> bool:
        """False for a trade that was seen before. Events without an identity are always new."""
        name = IDENTITIES.get(event.get("type", ""))
        identity = event.get(name) if name else None
        if not isinstance(identity, int) or identity < 0:
            return True
        key = (event.get("exchange", ""), event.get("symbol", ""), event["type"])
        ids = self._ids.get(key)
        if ids is None:
            ids = self._ids[key] = _Ids()
        time = event.get("tradeTime", 0)
        if ids.ends and identity < ids.ends[-1] and time > ids.newest + self.RESTART_MARGIN:
            ids = self._ids[key] = _Ids()
        ids.newest = max(ids.newest, time)
        return ids.add(identity)
