"""A collector that ends, however it ends, goes on where it was: what was missed is fetched, or told."""

import contextlib
import json
import subprocess
import sys
from pathlib import Path

import pytest

import delivery
import harness
import test_repair as repair


def run_once(programs, tmp_path, started, rest, number: int, seconds: float, *, kill: bool, **more):
    """One life of a collector; what it published, and its process."""
    collector = programs.collector(
        [repair.exchange(started, rest, **more)], {"type": "file", "path": str(tmp_path / f"out{number}")},
        name=f"collector{number}")
    collector.wait_ready()
    harness.time.sleep(seconds)
    if kill:
        collector.kill()
    else:
        harness.wait_until(
            "end of all gaps", lambda: (metrics := collector.metrics())
            and metrics.total("collector_gaps_open") == 0)
        assert collector.terminate() == 0
    return repair.whole_lines(tmp_path / f"out{number}"), collector


def ids_of(lines: list[dict], symbol: str) -> list[int]:
    return [event["tradeId"] for event in lines if event["type"] == "trade" and event["symbol"] == symbol]


def gaps_of(lines: list[dict], symbol: str) -> list[dict]:
    return [event for event in lines if event["type"] == "gap" and event["symbol"] == symbol]


def continuity(tmp_path, *arguments) -> subprocess.CompletedProcess:
    return subprocess.run(
        [harness.COLLECTOR, "continuity", *map(str, arguments)], capture_output=True, text=True, timeout=30)


def test_the_command_says_what_is_wrong(tmp_path):
    file = tmp_path / "collector.yaml"
    entry = harness.exchange("ws://127.0.0.1:9", None, [{"type": "trade", "symbols": ["BTCUSDT"]}])
    file.write_text(json.dumps(harness.configuration(tmp_path, [entry], {"type": "null"})))
    nowhere = f"http://127.0.0.1:{harness.free_port()}"
    for arguments, code, words in (
        ((), 64, "name either --api http://HOST:PORT or --config FILE"),
        (("--config", file), 66, "no collector with this data directory has repaired anything yet"),
        (("--config", tmp_path / "none.yaml"), 66, "none.yaml"),
        (("--api", nowhere), 69, "is the collector running?"),
    ):
        shown = continuity(tmp_path, *arguments)
        assert shown.returncode == code and words in shown.stderr, (arguments, shown)
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "continuity.json").write_text('{"time": 1')
    shown = continuity(tmp_path, "--config", file)
    assert shown.returncode == 66 and "is no ledger of continuity" in shown.stderr, shown


def market(programs, tmp_path, *arguments):
    return repair.replayer(programs, tmp_path, "--mix", "trade=100", "--pace", "rate=1000", *arguments)


def test_kill_nine_leaves_no_hole(programs, tmp_path):
    started, rest = market(programs, tmp_path, "--start-after-streams", 2)
    arrived: dict[str, set[int]] = {symbol: set() for symbol in started.symbols}
    causes: dict[str, set[str]] = {symbol: set() for symbol in started.symbols}
    for run in range(4):
        lines, collector = run_once(
            programs, tmp_path, started, rest, run, 1.5 + run * 0.31, kill=run < 3)
        for symbol in started.symbols:
            ids = ids_of(lines, symbol)
            assert len(ids) == len(set(ids)), "each once in one life"
            arrived[symbol].update(ids)
            causes[symbol] |= {gap["cause"] for gap in gaps_of(lines, symbol)}
        harness.time.sleep(0.3)
    for symbol in started.symbols:
        ids = arrived[symbol]
        assert set(range(min(ids), max(ids) + 1)) == ids, f"{symbol}: everything could be had"
        assert "outage" in causes[symbol]

    shown = continuity(tmp_path, "--config", collector.file, "--type", "trade", "--json")
    assert shown.returncode == 0, shown.stdout + shown.stderr
    for series in json.loads(shown.stdout)["series"]:
        assert [interval["state"] for interval in series["intervals"]] == ["proven"], "one stretch over three crashes"
        assert series["repaired"] > 0 and series["lost"] == 0
    text = continuity(tmp_path, "--config", collector.file).stdout
    assert "proven" in text and "BTCUSDT" in text and "have come" in text


def test_a_planned_restart_repeats_nothing(programs, tmp_path):
    started, rest = market(programs, tmp_path)
    before, _ = run_once(programs, tmp_path, started, rest, 0, 1.5, kill=False)
    harness.time.sleep(0.5)
    after, _ = run_once(programs, tmp_path, started, rest, 1, 1.5, kill=False)
    for symbol in started.symbols:
        first, second = ids_of(before, symbol), ids_of(after, symbol)
        assert second[0] == first[-1] + 1, "what passed meanwhile was fetched, and nothing else"
        assert second == list(range(second[0], second[0] + len(second)))
        outages = [gap for gap in gaps_of(after, symbol) if gap["cause"] == "outage"]
        assert outages and all(gap["state"] == "repaired" for gap in outages)


def test_a_damaged_checkpoint_is_said_and_gone_on_without(programs, tmp_path):
    started, rest = market(programs, tmp_path)
    run_once(programs, tmp_path, started, rest, 0, 1.5, kill=True)
    file = tmp_path / "data" / "checkpoint"
    file.write_bytes(file.read_bytes().replace(b"sequence", b"Sequence", 1))
    harness.time.sleep(0.5)
    lines, collector = run_once(programs, tmp_path, started, rest, 1, 1.5, kill=False)
    assert "checkpoint is not used: its checksum does not fit; the collector goes on without it" in collector.log()
    for symbol in started.symbols:
        assert not gaps_of(lines, symbol)
    # The ledger does not claim what nobody knows.
    shown = continuity(tmp_path, "--config", collector.file, "--type", "trade", "--json")
    for series in json.loads(shown.stdout)["series"]:
        assert [interval["state"] for interval in series["intervals"]] == ["proven", "gap", "proven"]
        assert series["intervals"][1]["cause"] == "outage"
    # The next start goes on from a good one.
    more, collector = run_once(programs, tmp_path, started, rest, 2, 1, kill=False)
    assert "2 sequences go on" in collector.log()
    for symbol in started.symbols:
        assert ids_of(more, symbol)[0] == ids_of(lines, symbol)[-1] + 1


def test_what_is_older_than_the_store_is_told(programs, tmp_path):
    """The exchange remembers less than was missed."""
    started, rest = market(programs, tmp_path, "--rest-history", 300)
    before, _ = run_once(programs, tmp_path, started, rest, 0, 1.5, kill=True)
    harness.time.sleep(2)
    after, collector = run_once(programs, tmp_path, started, rest, 1, 2.5, kill=False)
    for symbol in started.symbols:
        ids = set(ids_of(before, symbol)) | set(ids_of(after, symbol))
        missing = set(range(min(ids), max(ids) + 1)) - ids
        # What came last before the crash was published and not written down: it is told too, as nobody knows better.
        assert missing and missing <= repair.ids_of(gaps_of(after, symbol), "absent", "lost")
    shown = continuity(tmp_path, "--config", collector.file, "--type", "trade", "--json")
    assert all(series["absent"] + series["lost"] > 0 for series in json.loads(shown.stdout)["series"])


@contextlib.contextmanager
def small_disk(path: Path):
    """A file system of 64 KiB at a path."""
    path.mkdir(parents=True, exist_ok=True)
    made = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", path], capture_output=True, text=True)
    if made.returncode:
        pytest.skip(f"cannot mount: {made.stderr.strip()}")
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", path], check=True)


def fill(path: Path) -> Path:
    """Takes what is free, down to the last byte."""
    file = path / "filler"
    with open(file, "wb", buffering=0) as filler:
        for size in (4096, 1):
            with contextlib.suppress(OSError):
                while filler.write(b"x" * size):
                    pass
    return file


def test_a_full_disk_keeps_the_checkpoint_before(programs, tmp_path):
    """The data directory is full: the collector goes on, says so once, and starts again from the checkpoint before."""
    started, rest = market(programs, tmp_path)
    data = tmp_path / "data"
    with small_disk(data):
        run_once(programs, tmp_path, started, rest, 0, 1.5, kill=False)
        old = (data / "checkpoint").read_bytes()
        filler = fill(data)
        lines, collector = run_once(programs, tmp_path, started, rest, 1, 3.5, kill=True)
        assert (data / "checkpoint").read_bytes() == old
        assert collector.log().count("checkpoint: cannot write") == 1, collector.log()
        assert "No space left on device" in collector.log()
        filler.unlink()
        more, _ = run_once(programs, tmp_path, started, rest, 2, 2.5, kill=False)
        assert (data / "checkpoint").read_bytes() != old
    for symbol in started.symbols:
        ids = set(ids_of(lines, symbol)) | set(ids_of(more, symbol))
        assert set(range(min(ids), max(ids) + 1)) == ids


def test_closed_bars_are_followed(programs, tmp_path):
    started, rest = repair.replayer(programs, tmp_path, "--mix", "trade=50,kline=50", "--pace", "rate=1000")
    subscriptions = [{"type": "kline", "interval": "1s", "symbols": started.symbols}]
    entry = {
        **harness.exchange(started.endpoint, started.authority, subscriptions), "restEndpoint": rest}
    second = 1_000_000_000

    def life(number: int, *commands: str):
        collector = programs.collector(
            [entry], {"type": "file", "path": str(tmp_path / f"out{number}")}, name=f"collector{number}")
        collector.wait_ready()
        harness.time.sleep(2.5)
        if commands:
            repair.command(tmp_path / "control", *commands)
            harness.time.sleep(4)
        repair.settle(collector)
        shown = continuity(tmp_path, "--api", f"http://{collector.address}", "--json")
        assert shown.returncode == 0, shown.stdout + shown.stderr
        assert collector.terminate() == 0
        return delivery.read_segments(tmp_path / f"out{number}"), json.loads(shown.stdout)["series"]

    closed: dict[str, list[int]] = {symbol: [] for symbol in started.symbols}
    for number in range(2):
        if number:
            # So that a second ends between the lives, and its bar is missed.
            harness.time.sleep(1.1)
        lines, series = life(number, *(["stall all for 2500ms"] if number == 0 else []))
        for symbol in started.symbols:
            bars = [bar for bar in repair.events(lines, "kline", symbol) if bar["closed"]]
            repaired = [bar for bar in bars if bar.get("source") == "rest"]
            gaps = repair.events(lines, "gap", symbol)
            assert repaired and {gap["interval"] for gap in gaps} == {"1s"}
            assert {gap["of"] for gap in gaps} == {"kline"} and {gap["state"] for gap in gaps} == {"open", "repaired"}
            assert {gap["cause"] for gap in gaps} == {"sequence" if number == 0 else "outage"}
            times = [
                time for gap in gaps if gap["state"] == "repaired"
                for time in range(gap["firstMissing"], gap["lastMissing"] + 1, second)]
            assert sorted(times) == sorted(bar["openTime"] for bar in repaired)
            closed[symbol] += [bar["openTime"] for bar in bars]
        assert {one["type"] for one in series} == {"kline_1s"} and all(one["repaired"] > 0 for one in series)
    for symbol, times in closed.items():
        assert sorted(times) == list(range(min(times), max(times) + 1, second)), f"{symbol}: each second's bar, once"


def test_repair_goes_through_the_proxy_with_its_user(programs, tmp_path):
    started, rest = market(programs, tmp_path)
    port = harness.free_port()
    proxy = programs.run(
        "proxy", [sys.executable, Path(__file__).with_name("connect_proxy.py"), "127.0.0.1", port, "trader:hunter2"])
    proxy.wait_for("listening")
    entry = {
        **repair.exchange(started, rest), "network": {"proxy": f"http://trader:hunter2@127.0.0.1:{port}"}}
    collector = programs.collector([entry], {"type": "file", "path": str(tmp_path / "out")})
    collector.wait_ready()
    repair.command(tmp_path / "control", "skip 200 *@trade all")
    harness.time.sleep(0.5)
    repair.settle(collector)
    assert collector.metrics().total("collector_gap_ids_total", state="repaired") > 0
    assert collector.terminate() == 0
    proxy.wait_for(rest.removeprefix("https://") + " 200")
    assert "407" not in proxy.log() and "hunter2" not in collector.log()
