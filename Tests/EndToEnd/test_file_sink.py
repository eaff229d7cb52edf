"""The file sink: the same comparison, with the segments read by zstdcat; and a disk that is full for a while."""

import os
import subprocess
import time

import pytest

import delivery
import feeds
import harness
import oracle


def compare(replayer, directory, begin) -> oracle.Expectation:
    expected = oracle.expect([frame for _, _, frame in replayer.sent()])
    count = delivery.check_lines(delivery.read_segments(directory), expected, begin, time.time_ns())
    assert count == expected.total > 0
    return expected


def test_every_recorded_frame_stands_in_the_segments(programs, spot_feed, tmp_path):
    files, streams = spot_feed
    wanted = [stream for stream in streams if feeds.subscriptions([stream])]
    arguments = [argument for path in files for argument in ("--feed", path)]
    replayer = programs.replayer(*arguments, "--pace", "max", "--start-after-streams", len(wanted))
    begin = time.time_ns()
    collector = programs.collector(
        [harness.exchange(replayer.endpoint, replayer.authority, feeds.subscriptions(wanted))],
        {"type": "file", "path": str(tmp_path / "out"), "rotateBytes": "1MiB"})
    collector.wait_quiet()
    assert collector.terminate() == 0
    assert replayer.terminate() == 0
    expected = compare(replayer, tmp_path / "out", begin)
    assert expected.frames > 180_000
    segments = [path for path in (tmp_path / "out").rglob("*") if path.is_file()]
    assert len(segments) > 1, "nothing was rotated"


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small tmpfs needs root")
def test_a_full_disk_is_said_and_nothing_is_lost(programs, tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", disk], capture_output=True, text=True)
    if mounted.returncode != 0:
        pytest.skip(f"no tmpfs can be mounted here: {mounted.stderr.strip()}")
    try:
        ballast = disk / "ballast"
        ballast.write_bytes(b"x" * 40_000)
        replayer = programs.replayer(
            "--synthetic", "--symbols", 5, "--seed", 3, "--mix", "trade=100", "--pace", "rate=3000",
            "--messages", 6000)
        begin = time.time_ns()
        collector = programs.collector(
            [harness.exchange(
                replayer.endpoint, replayer.authority, [{"type": "trade", "symbols": replayer.symbols}])],
            {"type": "file", "path": str(disk / "out")},
            batching={"maxDelay": "20ms", "compression": "none"})
        told = collector.wait_for(r"(?i).*(no space left|disk is full|ENOSPC).*", 60).group()
        assert str(disk) in told, f"the message does not name the place: {told}"
        assert collector.is_running
        harness.wait_until("503 from /readyz", lambda: collector.get("/readyz")[0] == 503)
        collector.metrics().check_identity()
        assert collector.metrics().total("collector_events_in_flight") > 0
        # Space for everything: the segments are moved away as an operator would.
        ballast.unlink()
        subprocess.run(["mount", "-o", "remount,size=16m", disk], check=True)
        collector.wait_quiet(60)
        assert collector.get("/readyz")[0] == 200
        assert collector.terminate() == 0
        assert replayer.terminate() == 0
        assert compare(replayer, disk / "out", begin).total == 6000
    finally:
        for program in programs.started:
            program.kill()
        subprocess.run(["umount", "-l", disk], check=False)
