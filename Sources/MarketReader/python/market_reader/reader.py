"""Puts what several messages bring into one order, once."""

import heapq
import time
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Any

from .gaps import Gap, GapBook
from .identity import IdentityBook
from .message import Dictionaries, Message
from .sequences import Missing, SequenceBook


@dataclass
class Reading:
    """What a message, or the passing of time, has brought."""

    # Names the run of the collector that the message is of; None for what time brought.
    run: str | None = None
    # In the order of their sequences within each source, except those that are late.
    events: list[dict] = field(default_factory=list)
    # Gap events among them.
    gaps: list[Gap] = field(default_factory=list)
    missing: list[Missing] = field(default_factory=list)
    # Events that were handed on before: messages that were sent or delivered again, trades that were published again.
    repeats: int = 0
    # Messages, by the tokens given with them, all of whose events have been handed on: safe to acknowledge.
    done: list[Any] = field(default_factory=list)


class _Delivery:
    """A message, as long as events of it wait; and what delivered it again meanwhile."""

    __slots__ = ("tokens", "waiting")

    def __init__(self, token: Any):
        self.tokens, self.waiting = [] if token is None else [token], 1


class _Run:
    """One run of a collector, as one source sees it."""

    def __init__(self, begin: int | None):
        self.book = SequenceBook(begin)
        # Sequences that wait, lowest first, and what they are.
        self.order: list[int] = []
        self.held: dict[int, tuple[dict, _Delivery]] = {}


class MarketReader:
    """Hands on every event once, in the order of its topic's sequence, and tells what is missing.

    A *source* is what delivers one topic: a subscription's name. Events that come ahead of others wait for them,
    `max_wait` seconds and `max_held` events at most; then the hole is called missing. `by_identity`: trades that were
    published more than once (after a crash, by redundant collectors) are handed on once. Not for several threads at once."""

    # Runs of a source that are remembered.
    RUNS = 16

    def __init__(
        self, dictionaries: Dictionaries | None = None, max_wait: float = 10.0, max_held: int = 100_000,
        by_identity: bool = True,
    ):
        self._dictionaries = dictionaries
        self._max_wait, self.max_held = max_wait, max_held
        self._identities = IdentityBook() if by_identity else None
        self._sources: dict[str, OrderedDict[str, _Run]] = {}
        self._held = 0
        # What gap events say is missing.
        self.gap_book = GapBook()

    def read(self, message: Message, source: str, token: Any = None, now: float | None = None) -> Reading:
        """Takes a message. Raises UnreadableMessage, and then has taken nothing of it."""
        now = time.monotonic() if now is None else now
        events = message.events(self._dictionaries)
        reading = Reading()
        key, run = self._run(source, message, reading)
        reading.run = key
        delivery = _Delivery(token)
        for event in events:
            sequence = event["sequence"]
            verdict = run.book.see(sequence, now)
            if verdict == "repeat":
                reading.repeats += 1
                self._share(run.held.get(sequence), delivery)
            elif verdict == "late":
                self._hand_on(event, reading)
            else:
                delivery.waiting += 1
                self._held += 1
                heapq.heappush(run.order, sequence)
                run.held[sequence] = (event, delivery)
        self._release(run, reading)
        self._finish(delivery, reading)
        self._give_up(source, key, run, run.book.give_up(now - self._max_wait), reading)
        while self._held > self.max_held and run.held:
            self._give_up(source, key, run, run.book.give_up_first(), reading)
        return reading

    def expire(self, now: float | None = None) -> Reading:
        """To be called now and then: hands on what has waited long enough."""
        now = time.monotonic() if now is None else now
        reading = Reading()
        for source, runs in self._sources.items():
            for key, run in runs.items():
                self._give_up(source, key, run, run.book.give_up(now - self._max_wait), reading)
        return reading

    @property
    def held(self) -> int:
        """Events that wait."""
        return self._held

    def _run(self, source: str, message: Message, reading: Reading) -> tuple[str, _Run]:
        key = message.run
        runs = self._sources.setdefault(source, OrderedDict())
        run = runs.get(key)
        if run is None:
            collector = key.partition("/")[0]
            earlier = [name for name in runs if name.partition("/")[0] == collector]
            # A collector that starts anew has ended before: what was waited for of it goes first. And its new run is
            # followed from its beginning, for the subscription was there.
            for name in earlier:
                self._give_up(source, name, runs[name], runs[name].book.give_up(float("inf")), reading)
            run = runs[key] = _Run(1 if earlier else None)
            if len(runs) > self.RUNS:
                name, old = runs.popitem(last=False)
                self._give_up(source, name, old, old.book.give_up(float("inf")), reading)
        return key, run

    def _give_up(self, source: str, key: str, run: _Run, holes: list[tuple[int, int]], reading: Reading):
        if holes:
            reading.missing += [Missing(source, key, first, last) for first, last in holes]
            self._release(run, reading)

    @staticmethod
    def _share(held: tuple[dict, _Delivery] | None, delivery: _Delivery):
        """A message that comes again while its events wait may not be acknowledged before them."""
        if held and held[1] is not delivery:
            held[1].tokens += delivery.tokens
            delivery.tokens = []

    def _release(self, run: _Run, reading: Reading):
        barrier = run.book.barrier
        while run.order and (barrier is None or run.order[0] < barrier):
            event, delivery = run.held.pop(heapq.heappop(run.order))
            self._held -= 1
            self._hand_on(event, reading)
            self._finish(delivery, reading)

    def _finish(self, delivery: _Delivery, reading: Reading):
        delivery.waiting -= 1
        if delivery.waiting == 0:
            reading.done += delivery.tokens

    def _hand_on(self, event: dict, reading: Reading):
        if self._identities and not self._identities.is_new(event):
            reading.repeats += 1
            return
        reading.events.append(event)
        if event.get("type") == "gap":
            gap = Gap.of_event(event)
            reading.gaps.append(gap)
            self.gap_book.add(gap)
