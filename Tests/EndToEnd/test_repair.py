"""Holes of trades are filled over REST, in order, and what cannot be filled is told."""

import json
import socket

import delivery
import harness
import oracle


def command(path, *lines: str) -> list[dict]:
    """Gives commands to a replayer's control channel; the answers."""
    answers = []
    with socket.socket(socket.AF_UNIX) as channel:
        channel.settimeout(10)
        channel.connect(str(path))
        with channel.makefile("rw") as stream:
            for line in lines:
                stream.write(line + "\n")
                stream.flush()
                answers.append(json.loads(stream.readline()))
    assert all(answer["ok"] for answer in answers), answers
    return answers


def replayer(programs, tmp_path, *arguments):
    started = programs.replayer(
        "--synthetic", "--symbols", 2, "--seed", 5, "--rest-listen", "127.0.0.1:0", "--control",
        tmp_path / "control", *arguments)
    return started, json.loads(started.wait_for(r'\{"listening".*\}').group())["rest"]


def exchange(started, rest: str, types=("trade",), **repair) -> dict:
    entry = harness.exchange(
        started.endpoint, started.authority, [{"type": type_, "symbols": started.symbols} for type_ in types])
    return {**entry, "restEndpoint": rest, "repair": repair}


def events(lines: dict, type_: str, symbol: str) -> list[dict]:
    return [json.loads(line) for line in lines.get(oracle.topic(type_, "binance", symbol), [])]


def ids_of(gaps: list[dict], *states: str) -> set[int]:
    return {
        number for gap in gaps if gap["state"] in states
        for number in range(gap["firstMissing"], gap["lastMissing"] + 1)}


def settle(collector, seconds: float = 30):
    """Until nothing is missing any more that could still come."""
    def settled():
        metrics = collector.metrics()
        return metrics and metrics.total("collector_gaps_total") > 0 and metrics.total("collector_gaps_open") == 0
    harness.wait_until("end of all gaps", settled, seconds)


def test_a_hole_is_filled_in_order(programs, tmp_path):
    started, rest = replayer(programs, tmp_path, "--mix", "trade=50,aggTrade=50", "--pace", "rate=2000")
    collector = programs.collector(
        [exchange(started, rest, ("trade", "aggTrade"))], {"type": "file", "path": str(tmp_path / "out")})
    collector.wait_ready()
    for _ in range(3):
        command(tmp_path / "control", "skip 300 *@trade all", "skip 200 *@aggTrade all")
        harness.time.sleep(0.6)
    settle(collector)
    metrics = collector.metrics()
    assert metrics.total("collector_gap_ids_total", state="repaired") > 1000
    assert metrics.total("collector_gap_ids_total", state="lost") == 0
    assert collector.terminate() == 0
    lines = delivery.read_segments(tmp_path / "out")
    for symbol in started.symbols:
        for type_, key in (("trade", "tradeId"), ("aggTrade", "aggregateId")):
            arrived = events(lines, type_, symbol)
            ids = [event[key] for event in arrived]
            assert ids == list(range(ids[0], ids[0] + len(ids))), "in order, without a hole"
            gaps = [gap for gap in events(lines, "gap", symbol) if gap["of"] == type_]
            assert gaps and all(gap["state"] == "repaired" for gap in gaps), gaps
            repaired = [event for event in arrived if event.get("source") == "rest"]
            assert {event[key] for event in repaired} == ids_of(gaps, "repaired")
            assert all(list(event)[-1] == "source" and "eventTime" not in event for event in repaired)
