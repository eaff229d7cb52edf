"""While the Pub/Sub emulator is away batches wait on disk, and all arrive when it is back: also after kill -9 and a full disk."""

import itertools
import os
import subprocess
import time

import pytest

import delivery
import gate
import harness
import oracle
import spool_files
from subscriber import Subscriber

projects = (f"spool-{number}" for number in itertools.count(1))


def market(programs, rate: int, *more):
    return programs.replayer(
        "--synthetic", "--symbols", 8, "--seed", 9, "--mix", "trade=100", "--pace", f"rate={rate}",
        "--start-after-streams", 8, *more)


def topics(symbols) -> list[str]:
    return [oracle.topic("trade", "binance", symbol) for symbol in symbols]


def collect(programs, replayer, host: str, project: str, name: str = "collector", **more):
    return programs.collector(
        [harness.exchange(replayer.endpoint, replayer.authority, [{"type": "trade", "symbols": replayer.symbols}])],
        {"type": "pubsub", "project": project, "createTopics": False}, environment={"PUBSUB_EMULATOR_HOST": host}, name=name,
        **{"spool": {"after": "100ms", "segmentBytes": "1MiB", "batchDelay": "5ms"}, **more})


def spool_of(collector) -> dict:
    assert collector.is_running, collector.log()[-3000:]
    # Nothing where it does not answer yet.
    return (collector.status() or {}).get("spool", {})


def test_an_outage_costs_nothing(programs, emulator):
    door = gate.Gate(("127.0.0.1", emulator.port))
    door.open()
    project = next(projects)
    replayer = market(programs, 5_000, "--messages", 15_000)
    subscriber = Subscriber(emulator.host, project, topics(replayer.symbols))
    try:
        begin = time.time_ns()
        collector = collect(programs, replayer, door.host, project)
        harness.wait_until(
            "published events", lambda: (m := collector.metrics()) and m.total("collector_events_published_total") > 1_000)
        door.shut()
        harness.wait_until("batches on disk", lambda: spool_of(collector).get("batches", 0) > 100)
        time.sleep(1.5)
        collector.metrics().check_identity()
        door.open()
        collector.wait_quiet(40, at_least=15_000)
        harness.wait_until("empty spool", lambda: collector.metrics().total("collector_spool_bytes") == 0, 5)
        assert collector.terminate() == 0
        assert replayer.terminate() == 0
        expected = oracle.expect(frame for _, _, frame in replayer.sent())
        subscriber.wait_events(expected.total, 30)
        lines = delivery.check_messages(once(subscriber.messages), "end-to-end")
        assert delivery.check_lines(lines, expected, begin, time.time_ns()) == expected.total == 15_000
    finally:
        door.shut()
        subscriber.close()


def once(messages: list[delivery.Message]) -> list[delivery.Message]:
    """Without repetitions, which must be the same."""
    seen: dict[str, delivery.Message] = {}
    for message in messages:
        known = seen.setdefault(message.attributes["batch_id"], message)
        assert (known.data, known.attributes) == (message.data, message.attributes), message.attributes
    return list(seen.values())


def test_what_was_spooled_outlives_the_process(programs, emulator, tmp_path):
    door = gate.Gate(("127.0.0.1", emulator.port))
    project = next(projects)
    replayer = market(programs, 3_000)
    subscriber = Subscriber(emulator.host, project, topics(replayer.symbols))
    stood: dict[int, set[int]] = {}
    spool = tmp_path / "data" / "spool"
    try:
        # The third one is killed while it sends what the first two left.
        for number, wanted in enumerate((300, 600, 900)):
            collector = collect(programs, replayer, door.host, project, f"killed-{number}")
            harness.wait_until("batches on disk", lambda: spool_of(collector).get("batches", 0) > wanted, 20, 0.01)
            if number == 2:
                door.open()
                harness.wait_until("an acknowledged batch", lambda: spool_of(collector).get("acknowledged", 0) > 0, 20, 0.01)
            collector.kill()
            for run, numbers in spool_files.spooled(spool).items():
                stood.setdefault(run, set()).update(numbers)
        assert len(stood) == 3 and sum(map(len, stood.values())) > 900
        last = collect(programs, replayer, door.host, project, "last")
        harness.wait_until("empty spool", lambda: (s := spool_of(last)).get("batches") == 0 and s.get("handed", 0) > 0, 30)
        assert replayer.terminate() == 0
        harness.wait_until(
            "empty collector", lambda: (m := last.metrics()) and m.total("collector_events_in_flight") == 0)
        assert last.terminate() == 0
        ids = {f"{run:016x}-{number}" for run, numbers in stood.items() for number in numbers}
        harness.wait_until(
            "spooled batches at the subscriber", lambda: ids <= {m.attributes["batch_id"] for m in list(subscriber.messages)}, 30)
        # Of each run and topic a beginning arrived, in order and without a hole.
        next_sequence: dict[tuple[str, str], int] = {}
        for message in once(subscriber.messages):
            key = message.topic, message.attributes["batch_id"].split("-")[0]
            assert int(message.attributes["first_sequence"]) == next_sequence.get(key, 1), key
            next_sequence[key] = int(message.attributes["last_sequence"]) + 1
    finally:
        door.shut()
        subscriber.close()


def test_a_full_disk_holds_the_exchange_up(programs, emulator, tmp_path):
    if os.geteuid() != 0:
        pytest.skip("mounting a small file system needs root")
    data = tmp_path / "data"
    data.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "none", data], capture_output=True).returncode:
        pytest.skip("a tmpfs cannot be mounted here")
    door = gate.Gate(("127.0.0.1", emulator.port))
    project = next(projects)
    subscriber = None
    try:
        replayer = market(programs, 60_000, "--messages", 150_000)
        subscriber = Subscriber(emulator.host, project, topics(replayer.symbols))
        begin = time.time_ns()
        collector = collect(programs, replayer, door.host, project)
        collector.wait_for(r"spool: write to \S+: No space left on device.*free space on that file system", 30)
        assert collector.get("/readyz")[0] == 503
        time.sleep(1)
        collector.metrics().check_identity()
        assert collector.metrics().total("collector_events_dropped_total") == 0
        door.open()
        collector.wait_quiet(60, at_least=150_000)
        harness.wait_until("200 from /readyz", lambda: collector.get("/readyz")[0] == 200)
        assert collector.terminate() == 0
        assert replayer.terminate() == 0
        expected = oracle.expect(frame for _, _, frame in replayer.sent())
        subscriber.wait_events(expected.total, 60)
        lines = delivery.check_messages(once(subscriber.messages), "end-to-end")
        assert delivery.check_lines(lines, expected, begin, time.time_ns()) == expected.total == 150_000
    finally:
        door.shut()
        if subscriber:
            subscriber.close()
        subprocess.run(["umount", "-l", data])
