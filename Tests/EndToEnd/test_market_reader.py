"""The consumer kit: messages in any order, twice, or not at all; then against the emulator."""

import itertools
import json
import random
import sys
import time

import pytest
import zstandard

import harness
import oracle

sys.path.insert(0, str(harness.ROOT / "Sources" / "MarketReader" / "python"))
from market_reader import (  # noqa: E402
    Dictionaries, Gap, GapBook, IdentityBook, MarketReader, Message, Missing, UnreadableMessage,
)

projects = (f"market-reader-{number}" for number in itertools.count(1))


def event(sequence: int, identity: int | None = None, **more) -> dict:
    identity = sequence if identity is None else identity
    return {
        "type": "trade", "exchange": "binance", "symbol": "BTCUSDT", "sequence": sequence, "receivedTime": 1,
        "tradeId": identity, "price": "0.00100000", "quantity": "1", "tradeTime": identity, "aggressor": "buy", **more,
    }


def message(events: list[dict], run: str = "00000000000000aa", batch: int = 1, key: str = "", **attributes) -> Message:
    data = b"".join(json.dumps(event, separators=(",", ":")).encode() + b"\n" for event in events)
    return Message(
        zstandard.compress(data), {
            "collector": "a", "batch_id": f"{run}-{batch}", "content_encoding": "zstd",
            "content_type": "application/x-ndjson", "count": str(len(events)),
            "first_sequence": str(events[0]["sequence"]), "last_sequence": str(events[-1]["sequence"]), **attributes,
        }, key)


def sequences(reading) -> list[int]:
    return [event["sequence"] for event in reading.events]


@pytest.mark.parametrize("seed", range(200))
def test_any_order_repeats_and_losses(seed):
    """Whatever the network does: each event once, in order unless it is late, and exactly the lost ones are missing."""
    random_ = random.Random(seed)
    total = random_.randint(1, 120)
    batches, next_ = [], 1
    open_batches: list[list[dict]] = [[] for _ in range(random_.randint(1, 4))]
    # A coarse topic: batches of several keys share one sequence.
    while next_ <= total:
        random_.choice(open_batches).append(event(next_))
        next_ += 1
        for index, some in enumerate(open_batches):
            if some and random_.random() < 0.4:
                batches.append(some)
                open_batches[index] = []
    batches += [some for some in open_batches if some]
    lost = {index for index in range(len(batches)) if random_.random() < 0.1}
    arrivals = [
        (index + random_.random() * random_.choice([0, 3, 10]), index)
        for index in range(len(batches)) if index not in lost for _ in range(random_.choice([1, 1, 1, 2]))
    ]
    reader = MarketReader(max_wait=1000)
    # The subscription was there before the collector: an earlier run is known.
    reader.read(message([event(1, 10_000_000)], run="0000000000000001"), "s", now=0)
    out, missing, done, repeats, first = [], [], [], 0, True
    now = 0.0
    for _, index in sorted(arrivals):
        now += 1
        reading = reader.read(message(batches[index], batch=index + 1), "s", token=(index, now), now=now)
        for some in [reading]:
            out += sequences(some)
            missing += some.missing
            done += some.done
            repeats += some.repeats
    assert out == sorted(out), "out of order although nothing was late"
    reading = reader.expire(now=now + 2000)
    out += sequences(reading)
    missing += reading.missing
    done += reading.done
    assert reader.held == 0
    wanted = [some["sequence"] for index, batch in enumerate(batches) if index not in lost for some in batch]
    assert out == sorted(wanted)
    assert len(done) == len(arrivals), "every message that arrived can be acknowledged"
    told = {number for hole in missing for number in range(hole.first, hole.last + 1)}
    highest = max(wanted, default=0)
    assert told == {number for number in range(1, highest + 1)} - set(wanted)
    assert repeats == sum(len(batches[index]) for _, index in arrivals) - len(wanted)


def test_a_hole_is_called_missing_in_time_and_filled_late():
    reader = MarketReader(max_wait=5)
    assert sequences(reader.read(message([event(1)]), "s", now=0)) == [1]
    reading = reader.read(message([event(4), event(5)], batch=3), "s", token="b", now=1)
    assert (sequences(reading), reading.missing, reading.done) == ([], [], [])
    # Delivered again while it waits: neither may be acknowledged yet.
    again = reader.read(message([event(4), event(5)], batch=3), "s", token="c", now=2)
    assert (sequences(again), again.repeats, again.done) == ([], 2, [])
    reading = reader.expire(now=6.5)
    assert sequences(reading) == [4, 5] and sorted(reading.done) == ["b", "c"]
    assert reading.missing == [Missing("s", "a/00000000000000aa", 2, 3)]
    late = reader.read(message([event(3)], batch=2), "s", token="d", now=9)
    assert sequences(late) == [3] and late.done == ["d"]


def test_a_subscription_in_the_middle_misses_nothing_and_a_new_run_begins_at_one():
    reader = MarketReader(max_wait=5)
    assert sequences(reader.read(message([event(70)], batch=7), "s", now=0)) == [70]
    assert sequences(reader.read(message([event(69)], batch=6), "s", now=0)) == [69], "before the beginning, but there"
    assert reader.expire(now=100).missing == []
    reading = reader.read(message([event(2, 101)], run="00000000000000bb", batch=2), "s", now=100)
    assert sequences(reading) == []
    reading = reader.read(message([event(1, 100)], run="00000000000000bb", batch=1), "s", now=101)
    assert sequences(reading) == [1, 2]


def test_trades_that_are_published_again_after_a_crash_come_once():
    reader = MarketReader()
    reader.read(message([event(n, 100 + n) for n in range(1, 6)]), "s", now=0)
    again = [event(n, 102 + n, source="rest") for n in range(1, 6)]
    reading = reader.read(message(again, run="00000000000000bb"), "s", now=1)
    assert [event["tradeId"] for event in reading.events] == [106, 107] and reading.repeats == 3
    both = MarketReader(by_identity=False)
    both.read(message([event(1, 7)]), "s", now=0)
    assert sequences(both.read(message([event(1, 7)], run="00000000000000bb"), "s", now=1)) == [1]


@pytest.mark.parametrize("seed", range(50))
def test_identities_against_a_set(seed):
    random_, book, seen = random.Random(seed), IdentityBook(), set()
    for _ in range(400):
        identity = random_.randint(0, 300)
        assert book.is_new(event(1, identity, tradeTime=5)) == (identity not in seen)
        seen.add(identity)
    assert book.is_new(event(1, 5, tradeTime=5 + 2_000_000_000)), "the exchange counts anew"


def test_gaps_are_opened_and_repaired():
    book = GapBook()

    def gap(first, last, state):
        book.add(Gap("binance", "BTCUSDT", "trade", first, last, state, "sequence"))

    gap(10, 20, "open")
    gap(12, 13, "repaired")
    gap(20, 20, "absent")
    gap(15, 16, "lost")
    assert book.missing("binance", "BTCUSDT") == [(10, 11), (14, 14), (15, 16), (17, 19)]
    gap(1, 100, "repaired")
    assert book.missing("binance", "BTCUSDT") == []


def test_bad_messages_are_named_and_take_nothing():
    good = message([event(1), event(2)])
    cases = {
        "collector": Message(good.data, {k: v for k, v in good.attributes.items() if k != "collector"}),
        "corrupt": Message(b"(" + good.data, good.attributes),
        "data are cut": message([event(1), event(2)], count="3"),
        "not JSON": Message(b"{]\n", {**good.attributes, "content_encoding": "identity", "count": "1"}),
        "sequence": Message(b"{}\n", {**good.attributes, "content_encoding": "identity", "count": "1"}),
        "dictionary 77": message([event(1)], dictionary="77"),
        "content_encoding 'br'": message([event(1)], content_encoding="br"),
        "a gap event without": message([{"type": "gap", "sequence": 1}]),
    }
    reader = MarketReader()
    for words, bad in cases.items():
        with pytest.raises(UnreadableMessage, match=words):
            reader.read(bad, "s", now=0)
    assert sequences(reader.read(good, "s", now=0)) == [1, 2]


def test_dictionaries_are_found_by_id():
    samples = [json.dumps(event(n), separators=(",", ":")).encode() for n in range(2000)]
    trained = zstandard.train_dictionary(4096, samples)
    dictionaries = Dictionaries()
    dictionaries.add(trained.as_bytes())
    plain = message([event(1)], dictionary=str(trained.dict_id()))
    line = json.dumps(event(1), separators=(",", ":")).encode() + b"\n"
    packed = Message(zstandard.ZstdCompressor(dict_data=trained).compress(line), plain.attributes)
    assert sequences(MarketReader(dictionaries).read(packed, "s", now=0)) == [1]
    with pytest.raises(ValueError, match="train-dictionary"):
        dictionaries.add(b"no dictionary at all")


def test_everything_arrives_in_order_from_the_emulator(programs, emulator, monkeypatch):
    """A coarse topic without ordering, and a collector that is killed and started again in the middle."""
    monkeypatch.setenv("PUBSUB_EMULATOR_HOST", emulator.host)
    from google.cloud import pubsub_v1
    from market_reader.pubsub import MarketSubscriber

    project = next(projects)
    publisher, maker = pubsub_v1.PublisherClient(), pubsub_v1.SubscriberClient()
    topic = publisher.topic_path(project, "market.trade.binance")
    subscription = maker.subscription_path(project, "all-trades")
    publisher.create_topic(request={"name": topic})
    maker.create_subscription(request={"name": subscription, "topic": topic, "ack_deadline_seconds": 60})
    # Slower than emulator and client pass messages on (300 a second on a slow machine): without ordering the emulator hands
    # a backlog out in any order, and a hole would be given up before its message came.
    replayer = programs.replayer("--synthetic", "--symbols", 8, "--seed", 4, "--mix", "trade=100", "--pace", "rate=200")

    def collector(name):
        return programs.collector(
            [harness.exchange(
                replayer.endpoint, replayer.authority, [{"type": "trade", "symbols": replayer.symbols}])],
            {"type": "pubsub", "project": project, "topic": "market.trade.{exchange}"},
            environment={"PUBSUB_EMULATOR_HOST": emulator.host}, name=name)

    readings = []
    with MarketSubscriber(subscription, readings.append, MarketReader(max_wait=20)) as subscriber:
        first = collector("first")
        harness.wait_until("events", lambda: sum(len(some.events) for some in readings) > 400, 60)
        first.kill()
        second = collector("second")
        before = sum(len(some.events) for some in readings)
        harness.wait_until("more events", lambda: sum(len(some.events) for some in readings) > before + 400, 60)
        assert second.terminate() == 0
        published = second.log()
        assert "OK: received" in published, published[-2000:]
        harness.wait_until("the last event", lambda: not subscriber.wait(1.0) and subscriber.reader.held == 0, 60)
        time.sleep(1)
    events = [some for reading in readings for some in reading.events]
    identities = {}
    for some in events:
        ids = identities.setdefault(some["symbol"], [])
        assert not ids or some["tradeId"] > ids[-1], "a trade came twice, or out of order"
        ids.append(some["tradeId"])
    assert set(identities) == set(replayer.symbols)
    # Batches that were in flight at the kill may leave holes in the first run, and nothing may in the second.
    last = [reading.run for reading in readings if reading.run][-1]
    assert not [hole for reading in readings for hole in reading.missing if hole.run == last]
    sent = {}
    for _, _, frame in replayer.sent():
        data = json.loads(frame)["data"]
        sent.setdefault(data["s"], set()).add(data["t"])
    for symbol, ids in identities.items():
        assert set(ids) <= sent[symbol]
