"""The programs of an outage: the service that goes away, the collector, the market; and what may be missing afterwards."""

import collections
import json
import os
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parents[1] / "Tests/EndToEnd"))
import harness  # noqa: E402
from spool_files import spooled  # noqa: E402, F401

MIX = "trade=90,kline=7,ticker=3"


class Service:
    """service.c: a Pub/Sub that goes away, and checks what it is given."""

    def __init__(self, directory: Path):
        self.directory = directory
        binary = directory / "service"
        subprocess.run(["cc", "-O2", "-o", binary, HERE / "service.c", "-lnghttp2"], check=True)
        self.process = subprocess.Popen(
            [binary], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True)
        self.port = int(self.process.stdout.readline())
        self.endpoint = f"http://127.0.0.1:{self.port}"
        self.slots = collections.deque()
        self.reported = threading.Event()
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()
        self.reports = 0

    def _read(self):
        for line in self.process.stdout:
            slot = json.loads(line)
            if slot.get("reported"):
                self.reported.set()
            else:
                self.slots.append(slot)

    def tell(self, command: str):
        self.process.stdin.write(command + "\n")
        self.process.stdin.flush()

    def report(self) -> dict:
        self.reports += 1
        path = self.directory / f"report-{self.reports}.json"
        self.reported.clear()
        self.tell(f"report {path}")
        if not self.reported.wait(60):
            raise AssertionError("the service does not report")
        return json.loads(path.read_text())

    def between(self, begin: int, end: int) -> list[dict]:
        """What came in that time, in steps of 100 ms; ns since the epoch."""
        return [slot for slot in list(self.slots) if begin <= slot["time"] < end]

    def end(self):
        self.process.stdin.close()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()


def replayer(directory: Path, pace: str, symbols: int, seed: int = 1) -> harness.Replayer:
    return harness.Replayer(
        directory, "--synthetic", "--symbols", symbols, "--seed", seed, "--mix", MIX, "--pace", pace,
        "--start-after-streams", symbols * 3, truth=False)


def collector(directory: Path, market: harness.Replayer, service: Service, **more) -> harness.Collector:
    symbols = market.symbols
    subscriptions = [
        {"type": "trade", "symbols": symbols}, {"type": "kline", "interval": "1m", "symbols": symbols},
        {"type": "ticker", "symbols": symbols},
    ]
    changes = {section: more.pop(section, {}) for section in ("collector", "batching", "sink", "spool")}
    configuration = harness.configuration(
        directory, [harness.exchange(market.endpoint, market.authority, subscriptions, repair={"enabled": False})],
        {"type": "pubsub", "project": "outage", "endpoint": service.endpoint, **changes["sink"]},
        collector={"name": "outage", "idle": "adaptive", "dataDirectory": str(directory / "data"), **changes["collector"]},
        batching={"maxDelay": "5ms", **changes["batching"]}, spool=changes["spool"])
    return harness.Collector(directory, configuration, **more)


def delivers(process: harness.Collector) -> bool:
    assert process.is_running, f"the collector ended with {process.child.returncode}:\n{process.log()[-2000:]}"
    status = process.status()
    return status is not None and sum(entry["published"] for entry in status["events"]) > 0


def spool_of(process: harness.Collector) -> dict:
    """What the collector says of its spool; nothing where it does not answer yet."""
    assert process.is_running, f"the collector ended with {process.child.returncode}:\n{process.log()[-2000:]}"
    return (process.status() or {}).get("spool", {})


def memory(pid: int) -> tuple[int, int]:
    """Resident bytes now, and at most so far."""
    text = Path(f"/proc/{pid}/status").read_text()
    fields = dict(line.split(":", 1) for line in text.splitlines() if ":" in line)
    return tuple(int(fields[key].split()[0]) * 1024 for key in ("VmRSS", "VmHWM"))


def processor(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def disk_bytes(directory: Path) -> int:
    """Blocks that the files take."""
    total = 0
    for path in directory.glob("*"):
        try:
            total += path.stat().st_blocks * 512
        except FileNotFoundError:
            pass
    return total


def missing(wanted: dict[int, set[int]], report: dict) -> list[str]:
    """Batches of these that the service was never given."""
    lost = []
    for run, numbers in wanted.items():
        got = set()
        for first, last in report["runs"].get(f"{run:016x}", []):
            got.update(range(first, last + 1))
        lost += [f"{run:016x}-{number}" for number in sorted(numbers - got)]
    return lost


def holes(report: dict) -> list[str]:
    """Batch numbers that are missing between the first and the last of a run."""
    found = []
    for run, ranges in report["runs"].items():
        if ranges and ranges[0][0] != 1:
            found.append(f"{run}: 1 to {ranges[0][0] - 1}")
        found += [f"{run}: {before[1] + 1} to {after[0] - 1}" for before, after in zip(ranges, ranges[1:])]
    return found


def wrong(report: dict) -> list[str]:
    """What the service found wrong itself."""
    if report["altered"] or report["disordered"] or report["malformed"]:
        return [f"{report['altered']} altered, {report['disordered']} out of order, {report['malformed']} malformed", *report["faults"]]
    return []


def remove(directory: Path):
    shutil.rmtree(directory, ignore_errors=True)


def sleep_until(moment: float):
    time.sleep(max(0, moment - time.monotonic()))
