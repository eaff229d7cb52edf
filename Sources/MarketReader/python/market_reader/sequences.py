"""Sequences of one topic and one run of a collector: which came, which are missing."""

from bisect import bisect_right
from dataclasses import dataclass


@dataclass(frozen=True)
class Missing:
    """Sequences of a topic that have not arrived in time; they are handed on all the same if they come later."""

    source: str
    run: str
    first: int
    last: int


class _Hole:
    __slots__ = ("first", "last", "since", "is_told")

    def __init__(self, first: int, last: int, since: float, is_told: bool):
        self.first, self.last, self.since, self.is_told = first, last, since, is_told


class SequenceBook:
    """Tells new events from repeats, and knows the holes.

    `begin`: the first sequence to expect; None where the subscription may be younger than the topic: then the first
    that comes is the beginning, and what lies before it is taken when it comes but never called missing."""

    # Holes that are remembered for late events. Of older ones everything counts as new: better twice than never.
    HOLES = 10_000

    def __init__(self, begin: int | None = None):
        self._next = begin
        self._floor = 0
        self._holes: list[_Hole] = []
        self._untold = 0

    def see(self, sequence: int, now: float) -> str:
        """`new`, `late` (it was called missing, or lies before the beginning) or `repeat`."""
        if self._next is None:
            if sequence > 1:
                self._add(_Hole(1, sequence - 1, now, True))
            self._next = sequence
        if sequence == self._next:
            self._next += 1
            return "new"
        if sequence > self._next:
            self._add(_Hole(self._next, sequence - 1, now, False))
            self._next = sequence + 1
            return "new"
        index = bisect_right(self._holes, sequence, key=lambda hole: hole.first) - 1
        if index < 0 or sequence > self._holes[index].last:
            return "late" if sequence < self._floor else "repeat"
        hole = self._holes[index]
        parts = [
            _Hole(first, last, hole.since, hole.is_told)
            for first, last in ((hole.first, sequence - 1), (sequence + 1, hole.last)) if first <= last
        ]
        self._holes[index:index + 1] = parts
        if not hole.is_told:
            self._untold += len(parts) - 1
        return "late" if hole.is_told else "new"

    def _add(self, hole: _Hole):
        self._holes.append(hole)
        self._untold += not hole.is_told
        if len(self._holes) > self.HOLES and self._holes[0].is_told:
            self._floor = self._holes.pop(0).last + 1

    @property
    def barrier(self) -> int | None:
        """The first sequence that is still waited for; None while none is."""
        if not self._untold:
            return None
        return next(hole.first for hole in self._holes if not hole.is_told)

    def give_up(self, before: float) -> list[tuple[int, int]]:
        """Calls the holes missing that are there since `before` or longer."""
        if not self._untold:
            return []
        told = [hole for hole in self._holes if not hole.is_told and hole.since <= before]
        for hole in told:
            hole.is_told = True
        self._untold -= len(told)
        return [(hole.first, hole.last) for hole in told]

    def give_up_first(self) -> list[tuple[int, int]]:
        """Calls the lowest hole missing that is still waited for."""
        for hole in self._holes:
            if not hole.is_told:
                hole.is_told = True
                self._untold -= 1
                return [(hole.first, hole.last)]
        return []
