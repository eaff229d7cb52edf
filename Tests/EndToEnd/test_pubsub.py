"""Recorded frames through replayer, TLS, collector, the Pub/Sub emulator and the official subscriber."""

import itertools
import signal
import time

import pytest

import delivery
import feeds
import harness
import oracle
from subscriber import Subscriber

projects = (f"end-to-end-{number}" for number in itertools.count(1))


def deliver(programs, emulator, topics, arguments, streams, during=None, seconds=150, **more):
    """Plays a feed through to the subscriber and compares. Returns what came, for further checks.

    `topics`: all that there will be; their subscriptions must exist before the first message."""
    project = next(projects)
    subscriber = Subscriber(emulator.host, project, topics)
    try:
        replayer = programs.replayer(*arguments)
        begin = time.time_ns()
        collector = programs.collector(
            [harness.exchange(replayer.endpoint, replayer.authority, feeds.subscriptions(streams))],
            {"type": "pubsub", "project": project},
            environment={"PUBSUB_EMULATOR_HOST": emulator.host}, **more)
        if during:
            during(collector)
        metrics = collector.wait_quiet(seconds)
        assert collector.terminate() == 0, collector.log()[-3000:]
        assert replayer.terminate() == 0
        sent = [frame for _, _, frame in replayer.sent()]
        expected = oracle.expect(sent)
        subscriber.wait_events(expected.total, 60)
        lines = delivery.check_messages(subscriber.messages, "end-to-end")
        count = delivery.check_lines(lines, expected, begin, time.time_ns())
        assert count == expected.total
        return expected, subscriber.messages, metrics, collector
    finally:
        subscriber.close()


@pytest.fixture(scope="module")
def recorded(spot_feed):
    """All recorded frames of streams that can be asked for, in the order of the files."""
    files, streams = spot_feed
    wanted = [stream for stream in streams if feeds.subscriptions([stream])]
    frames = [frame for path in files for frame in feeds.frames(path) if feeds.stream_of(frame) in set(wanted)]
    arguments = [argument for path in files for argument in ("--feed", path)]
    return frames, [*arguments, "--pace", "max", "--start-after-streams", len(wanted)], wanted


def test_every_recorded_frame_arrives_exact_once_in_order(programs, emulator, recorded):
    frames, arguments, streams = recorded
    expected, messages, metrics, collector = deliver(
        programs, emulator, oracle.expect(frames).topics(), arguments, streams)
    assert expected.frames == len(frames), "the replayer sent other frames than the recordings hold"
    assert not expected.dead_letters and not expected.ignored
    assert len(expected.events) > 60 and expected.gaps
    published = metrics.total("collector_events_published_total")
    assert published == expected.total
    print(f"{expected.frames} frames, {expected.total} events, {len(messages)} messages, {len(expected.topics())} topics")


def test_nothing_is_lost_or_doubled_while_the_emulator_stands_still(programs, emulator, recorded):
    frames, arguments, streams = recorded
    paced = list(arguments)
    paced[paced.index("max")] = "rate=20000"

    def freeze(collector):
        harness.wait_until(
            "published events", lambda: (m := collector.metrics()) and m.total("collector_events_published_total") > 2e4,
            60)
        emulator.send(signal.SIGSTOP)
        try:
            before = collector.metrics().total("collector_events_published_total")
            time.sleep(10)
            metrics = collector.metrics()
            metrics.check_identity()
            # What was on its way may still be counted; then it stands.
            assert metrics.total("collector_events_published_total") - before < 5e4
            assert metrics.total("collector_events_in_flight") > 0
        finally:
            emulator.send(signal.SIGCONT)

    expected, _, _, _ = deliver(
        programs, emulator, oracle.expect(frames).topics(), paced, streams, during=freeze)
    assert expected.frames == len(frames)


def deliver_few(programs, emulator, spot_feed, batching):
    """As ``deliver``, of some of the recordings."""
    files, streams = spot_feed
    chosen = [path for path in files if path.parent.name == "unit" or "20210404" in path.name]
    wanted = list(dict.fromkeys(
        stream for path in chosen for stream in map(feeds.stream_of, feeds.frames(path))
        if stream and feeds.subscriptions([stream])))
    frames = [frame for path in chosen for frame in feeds.frames(path) if feeds.stream_of(frame) in wanted]
    arguments = [argument for path in chosen for argument in ("--feed", path)]
    expected, messages, _, _ = deliver(
        programs, emulator, oracle.expect(frames).topics(),
        [*arguments, "--pace", "max", "--start-after-streams", len(wanted)], wanted, batching=batching)
    return expected, messages


def test_one_message_an_event(programs, emulator, spot_feed):
    expected, messages = deliver_few(programs, emulator, spot_feed, {"payload": "event", "maxDelay": "5ms"})
    assert len(messages) == expected.total
    assert {message.attributes["content_type"] for message in messages} == {"application/json"}
    assert {message.attributes["content_encoding"] for message in messages} == {"identity"}


def test_small_batches_may_stay_as_they_are(programs, emulator, spot_feed):
    _, messages = deliver_few(programs, emulator, spot_feed, {"compressMinBytes": 1_000, "maxDelay": "5ms"})
    sizes = {"identity": [], "zstd": []}
    for message in messages:
        sizes[message.attributes["content_encoding"]].append(sum(len(line) + 1 for line in message.lines()))
    assert max(sizes["identity"]) < 1_000 <= min(sizes["zstd"])


def test_one_topic_for_all_symbols_keeps_the_order_of_each_key(programs, emulator):
    """The layout of config/production.yaml: `sequence` counts the topic's events, the order is that of the key."""
    project = next(projects)
    subscriber = Subscriber(emulator.host, project, ["market.trade.binance"])
    try:
        replayer = programs.replayer(
            "--synthetic", "--symbols", 8, "--seed", 4, "--mix", "trade=100", "--pace", "rate=5000", "--messages", 20_000,
            "--start-after-streams", 8)
        collector = programs.collector(
            [harness.exchange(
                replayer.endpoint, replayer.authority, [{"type": "trade", "symbols": replayer.symbols}])],
            {"type": "pubsub", "project": project, "topic": "market.{type}.{exchange}"},
            environment={"PUBSUB_EMULATOR_HOST": emulator.host})
        collector.wait_quiet(60, at_least=20_000)
        assert collector.terminate() == 0
        assert replayer.terminate() == 0
        subscriber.wait_events(20_000, 30)
        expected = oracle.expect(frame for _, _, frame in replayer.sent())
        sequences, events = [], {symbol: [] for symbol in replayer.symbols}
        for message in subscriber.messages:
            lines = message.lines()
            symbol = message.attributes["symbol"]
            assert message.ordering_key == f"binance:{symbol}"
            sequences += [delivery.number(delivery.SEQUENCE, line) for line in lines]
            events[symbol] += lines
        assert sorted(sequences) == list(range(1, 20_001))
        for symbol, lines in events.items():
            wanted = expected.events[oracle.topic("trade", "binance", symbol)]
            assert len(lines) == len(wanted) > 0
            for line, event in zip(lines, wanted):
                sequence = delivery.number(delivery.SEQUENCE, line)
                assert line == event.line("binance", sequence, delivery.number(delivery.RECEIVED, line))
    finally:
        subscriber.close()


def test_missing_topics_are_made_or_named(programs, emulator):
    from google.cloud import pubsub_v1

    def synthetic(name, project, create):
        replayer = programs.replayer(
            "--synthetic", "--symbols", 3, "--seed", 5, "--mix", "trade=100", "--pace", "rate=200", name=f"replayer-{name}")
        return programs.collector(
            [harness.exchange(replayer.endpoint, replayer.authority, [{"type": "trade", "symbols": replayer.symbols}])],
            {"type": "pubsub", "project": project, "createTopics": create},
            environment={"PUBSUB_EMULATOR_HOST": emulator.host}, name=name)

    project = next(projects)
    collector = synthetic("creating", project, True)
    harness.wait_until(
        "published events", lambda: (m := collector.metrics()) and m.total("collector_events_published_total") > 100)
    assert collector.terminate() == 0
    publisher = pubsub_v1.PublisherClient()
    made = [topic.name.rpartition("/")[2] for topic in publisher.list_topics(request={"project": f"projects/{project}"})]
    assert made and all(name.startswith("market.trade.binance.") for name in made)

    collector = synthetic("refusing", next(projects), False)
    collector.wait_for(r"market\.trade\.binance\.\S+.*", 30)
    assert collector.is_running
    collector.metrics().check_identity()

