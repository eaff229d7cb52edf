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


def whole_lines(directory) -> list[dict]:
    """All events of a file sink's directory, also of one that was killed: its last segment may be cut off."""
    result = []
    for path in sorted(directory.glob("segment-*")):
        if path.stat().st_size == 0:
            continue
        data = path.read_bytes()
        if ".zst" in path.name:
            data = harness.subprocess.run(["zstdcat", "-q", "-f", path], capture_output=True).stdout
        result += [json.loads(line) for line in data.split(b"\n")[:-1] if line]
    return result


def skipped(started) -> dict[tuple[str, int], dict]:
    """Trades that a connection was not sent on purpose, by symbol and id."""
    result = {}
    for line in started.truth.read_bytes().split(b"\n"):
        if b"! skipped " in line:
            data = json.loads(line.split(b"! skipped ", 1)[1])["data"]
            if data["e"] == "trade":
                result[data["s"], data["t"]] = data
    return result


def test_what_is_filled_is_what_was_traded(programs, tmp_path):
    started, rest = replayer(programs, tmp_path, "--mix", "trade=100", "--pace", "rate=1000")
    collector = programs.collector([exchange(started, rest)], {"type": "file", "path": str(tmp_path / "out")})
    collector.wait_ready()
    command(tmp_path / "control", "skip 200 *@trade all")
    harness.time.sleep(0.5)
    settle(collector)
    assert collector.terminate() == 0
    assert started.terminate() == 0
    traded = skipped(started)
    filled = [event for event in whole_lines(tmp_path / "out") if event.get("source") == "rest"]
    assert len(filled) == 200
    for event in filled:
        wanted = traded[event["symbol"], event["tradeId"]]
        assert (event["price"], event["quantity"]) == (wanted["p"], wanted["q"])
        assert event["tradeTime"] == wanted["T"] * 1_000_000
        assert event["aggressor"] == ("sell" if wanted["m"] else "buy")


def test_what_comes_too_late_for_its_place_is_told_and_published(programs, tmp_path):
    started, rest = replayer(programs, tmp_path, "--mix", "trade=100", "--pace", "rate=1000")
    collector = programs.collector(
        [exchange(started, rest, hold="100ms")], {"type": "file", "path": str(tmp_path / "out")})
    collector.wait_ready()
    command(tmp_path / "control", "rest refuse 429 retry-after 1 for 700ms", "skip 300 *@trade all")
    harness.time.sleep(1)
    settle(collector)
    assert collector.terminate() == 0
    lines = delivery.read_segments(tmp_path / "out")
    for symbol in started.symbols:
        ids = [event["tradeId"] for event in events(lines, "trade", symbol)]
        assert sorted(ids) == list(range(min(ids), min(ids) + len(ids))), "each once, and all of them"
        gaps = events(lines, "gap", symbol)
        assert ids_of(gaps, "open") and ids_of(gaps, "open") <= ids_of(gaps, "repaired")
        assert not ids_of(gaps, "absent", "lost")


def test_what_the_exchange_lacks_is_absent(programs, tmp_path):
    started, rest = replayer(programs, tmp_path, "--mix", "trade=100", "--pace", "rate=1000")
    collector = programs.collector([exchange(started, rest)], {"type": "file", "path": str(tmp_path / "out")})
    collector.wait_ready()
    command(tmp_path / "control", "rest lack 40", "skip 300 *@trade all")
    harness.time.sleep(0.5)
    settle(collector)
    assert collector.terminate() == 0
    lines = delivery.read_segments(tmp_path / "out")
    for symbol in started.symbols:
        ids = {event["tradeId"] for event in events(lines, "trade", symbol)}
        gaps = events(lines, "gap", symbol)
        absent = ids_of(gaps, "absent")
        assert set(range(min(ids), max(ids) + 1)) - ids == absent and 1 <= len(absent) <= 40
        assert not ids_of(gaps, "lost") and not absent & ids_of(gaps, "repaired")


def test_what_cannot_be_had_is_lost(programs, tmp_path):
    started, rest = replayer(programs, tmp_path, "--mix", "trade=100", "--pace", "rate=1000")
    collector = programs.collector(
        [exchange(started, rest, hold="100ms", giveUpAfter="1s")], {"type": "file", "path": str(tmp_path / "out")})
    collector.wait_ready()
    command(tmp_path / "control", "rest wrong", "skip 300 *@trade all")
    harness.time.sleep(0.5)
    settle(collector)
    assert collector.terminate() == 0
    lines = delivery.read_segments(tmp_path / "out")
    for symbol in started.symbols:
        ids = {event["tradeId"] for event in events(lines, "trade", symbol)}
        lost = ids_of(events(lines, "gap", symbol), "lost")
        assert set(range(min(ids), max(ids) + 1)) - ids == lost and lost
