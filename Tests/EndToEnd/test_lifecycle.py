"""Start, metrics, drain, end."""

import os
import re
import signal
import time
from pathlib import Path

import harness
import pytest

CONTRACT = [
    "collector_events_received_total", "collector_events_published_total", "collector_events_duplicate_total",
    "collector_events_dead_lettered_total", "collector_events_in_flight", "collector_frames_received_total",
    "collector_bytes_received_total", "collector_connections", "collector_internal_latency_seconds_bucket",
    "collector_publish_latency_seconds_bucket", "collector_feed_latency_seconds_bucket",
    "collector_batches_published_total", "collector_bytes_published_total", "collector_queue_depth",
]


def start(programs, tmp_path, rate=20_000, **more):
    replayer = programs.replayer(
        "--synthetic", "--symbols", 10, "--seed", 9, "--mix", "trade=90,kline=7,ticker=3", "--pace", f"rate={rate}")
    subscriptions = [
        {"type": "trade", "symbols": replayer.symbols}, {"type": "kline", "interval": "1m", "symbols": replayer.symbols},
        {"type": "ticker", "symbols": replayer.symbols},
    ]
    collector = programs.collector(
        [harness.exchange(replayer.endpoint, replayer.authority, subscriptions)],
        {"type": "file", "path": str(tmp_path / "out")}, **more)
    collector.wait_ready()
    return replayer, collector


def test_the_identity_holds_at_every_scrape_and_a_signal_drains(programs, tmp_path):
    replayer, collector = start(programs, tmp_path)
    harness.wait_until(
        "events", lambda: (m := collector.metrics()) and m.total("collector_events_published_total") > 1000)
    for _ in range(200):
        collector.metrics().check_identity()
    metrics = collector.metrics()
    absent = [name for name in CONTRACT if name not in metrics.names()]
    assert not absent, f"not among the metrics: {absent}"
    assert metrics.total("collector_connections", state="open") >= 1
    assert metrics.total("collector_gaps_total") == 0
    assert collector.get("/healthz")[0] == 200
    collector.send(signal.SIGTERM)
    assert collector.child.wait(20) == 0, collector.log()[-3000:]
    # At this speed a bar may be sent twice as it is within one millisecond: that is a repeat.
    received, published, repeats = summary(collector)
    assert received == published + repeats and published > 1000
    # What the summary says is on the disk.
    import delivery
    lines = delivery.read_segments(tmp_path / "out")
    assert sum(map(len, lines.values())) == published
    for topic, events in lines.items():
        for index, line in enumerate(events):
            assert int(delivery.SEQUENCE.search(line).group(1)) == index + 1, topic


def summary(collector) -> tuple[int, int, int]:
    """received, published and duplicates: the row of all types in the account at the end."""
    log = collector.log()
    rows = re.findall(r"^\W*all\s+([\d,]+)\s+([\d,]+)\s+([\d,]+)\s+([\d,]+)\s+([\d,]+)\s+([\d,]+)\W*$", log, re.M)
    assert len(rows) == 1, f"no summary in:\n{log[-2000:]}"
    received, published, repeats, *others = (int(number.replace(",", "")) for number in rows[0])
    assert others == [0, 0, 0], others
    assert re.search(r"^OK: received ", log, re.M), log[-2000:]
    return received, published, repeats


def test_other_threads_keep_off_pinned_cpus(programs, tmp_path):
    cpus = sorted(os.sched_getaffinity(0))
    if len(cpus) < 2:
        pytest.skip("there is one CPU for all threads")
    _, collector = start(
        programs, tmp_path, rate=500,
        collector={
            "name": "end-to-end", "lanes": 1, "idle": "park", "threads": "lane", "pin": [cpus[0]],
            "dataDirectory": str(tmp_path / "data"),
        })
    affinities = [
        ((task / "comm").read_text().strip(), os.sched_getaffinity(int(task.name)))
        for task in Path(f"/proc/{collector.child.pid}/task").iterdir()]
    assert [name for name, allowed in affinities if cpus[0] in allowed] == ["lane-0"]
    assert len(affinities) > 3 and all(allowed == set(cpus[1:]) for name, allowed in affinities if name != "lane-0")


def test_interrupt_drains_too(programs, tmp_path):
    _, collector = start(programs, tmp_path, rate=2000)
    harness.wait_until(
        "events", lambda: (m := collector.metrics()) and m.total("collector_events_published_total") > 100)
    collector.child.send_signal(signal.SIGINT)
    assert collector.child.wait(20) == 0
    received, published, repeats = summary(collector)
    assert received == published + repeats


def test_no_subscriber_of_the_signal_hangs_before_the_connection_is_made(programs):
    """SIGTERM while the exchange cannot be reached at all."""
    collector = programs.collector(
        [harness.exchange("ws://127.0.0.1:9", None, [{"type": "trade", "symbols": ["BTCUSDT"]}])], {"type": "null"})
    harness.wait_until("the API", lambda: collector.get("/healthz")[0] == 200)
    assert collector.terminate(15) == 0


def test_every_thread_layout_gives_the_same(programs, tmp_path):
    for layout in ("stage", "lane", "single"):
        directory = tmp_path / layout
        replayer = programs.replayer(
            "--synthetic", "--symbols", 4, "--seed", 1, "--mix", "trade=100", "--pace", "rate=5000", "--messages", 5000,
            name=f"replayer-{layout}")
        collector = programs.collector(
            [harness.exchange(replayer.endpoint, replayer.authority, [{"type": "trade", "symbols": replayer.symbols}])],
            {"type": "file", "path": str(directory)}, name=layout,
            collector={
                "name": "end-to-end", "threads": layout, "idle": "park", "dataDirectory": str(tmp_path / "data")})
        collector.wait_quiet(30, at_least=5000)
        assert collector.terminate() == 0
        import delivery
        import oracle
        assert replayer.terminate() == 0
        expected = oracle.expect(frame for _, _, frame in replayer.sent())
        assert delivery.check_lines(delivery.read_segments(directory), expected, 0, time.time_ns()) == 5000
