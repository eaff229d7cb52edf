"""The exchange of the fault runs: a feed-replayer under command, on addresses of its own, and what it wrote down."""

import json
import os
import re
import shutil
import socket
import subprocess
import sys
import time
from bisect import bisect_right
from collections import defaultdict
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "Tests" / "EndToEnd"))
import harness  # noqa: E402


def tool(*command: str) -> str:
    """Runs a command of the system; what it says where it fails is the error."""
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(command)}: {done.stderr.strip() or done.stdout.strip()}")
    return done.stdout


class Network:
    """Two cables between this process's network namespace and one with the exchange: an address for each leg."""

    # A machine that nobody has: what is sent to it is lost without a word.
    NOBODY = "02:00:00:00:00:99"

    def __init__(self):
        self.name = f"faults-{os.getpid()}"
        self.addresses: list[str] = []
        tool("ip", "netns", "add", self.name)
        try:
            tool("ip", "link", "set", "lo", "up")
            tool("ip", "-n", self.name, "link", "set", "lo", "up")
            for leg in (0, 1):
                here, there = f"fault{leg}", f"exchange{leg}"
                tool("ip", "link", "add", here, "type", "veth", "peer", "name", there)
                tool("ip", "link", "set", there, "netns", self.name)
                tool("ip", "addr", "add", f"10.77.{leg}.1/24", "dev", here)
                tool("ip", "link", "set", here, "up")
                tool("ip", "-n", self.name, "addr", "add", f"10.77.{leg}.2/24", "dev", there)
                tool("ip", "-n", self.name, "link", "set", there, "up")
                self.addresses.append(f"10.77.{leg}.2")
        except BaseException:
            self.close()
            raise

    def close(self):
        subprocess.run(["ip", "netns", "del", self.name], capture_output=True)

    def partition(self, leg: int):
        """Both directions are silent from now on: no reset, no error, no word."""
        tool("ip", "neigh", "replace", f"10.77.{leg}.2", "lladdr", self.NOBODY, "nud", "permanent", "dev", f"fault{leg}")
        tool("ip", "-n", self.name, "neigh", "replace", f"10.77.{leg}.1", "lladdr", self.NOBODY, "nud", "permanent",
             "dev", f"exchange{leg}")

    def heal(self, leg: int):
        tool("ip", "neigh", "del", f"10.77.{leg}.2", "dev", f"fault{leg}")
        tool("ip", "-n", self.name, "neigh", "del", f"10.77.{leg}.1", "dev", f"exchange{leg}")

    @staticmethod
    def loss_missing() -> str | None:
        """Why packets cannot be dropped at random by nftables, or None."""
        try:
            tool("nft", "add table inet probe; add chain inet probe lost; add rule inet probe lost numgen random mod 100 < 1 drop")
            tool("nft", "delete table inet probe")
        except (RuntimeError, OSError) as error:
            return str(error).strip().splitlines()[0]
        return None

    def lose(self, leg: int, percent: int):
        """So many packets of a hundred are lost where they arrive, on both ends of a cable; 0: none any more."""
        for place, device in (((), f"fault{leg}"), (("ip", "netns", "exec", self.name), f"exchange{leg}")):
            subprocess.run([*place, "nft", "delete table inet faults"], capture_output=True)
            if percent:
                # Where they arrive: what is dropped while it is sent comes back to the sender as an error.
                tool(*place, "nft",
                     "add table inet faults; add chain inet faults lost { type filter hook input priority 0; };"
                     f" add rule inet faults lost iifname {device} numgen random mod 100 < {percent} drop")

    @staticmethod
    def netem_missing() -> str | None:
        """Why there is no netem, or None."""
        try:
            tool("tc", "qdisc", "add", "dev", "lo", "root", "netem", "delay", "1ms")
            tool("tc", "qdisc", "del", "dev", "lo", "root")
        except (RuntimeError, OSError) as error:
            return str(error).rpartition(": ")[2]
        return None

    def shape(self, leg: int, *what: str):
        """netem on what the exchange sends, as `delay 20ms 5ms loss 1%`; nothing ends it."""
        device = f"exchange{leg}"
        subprocess.run(["tc", "-n", self.name, "qdisc", "del", "dev", device, "root"], capture_output=True)
        if what:
            tool("tc", "-n", self.name, "qdisc", "add", "dev", device, "root", "netem", *what)


class Exchange:
    """A replayer with a control channel. With a network it listens on both of its addresses."""

    def __init__(self, directory: Path, network: Network | None, symbols: int, rate: int, *more, truth: bool = True,
                 mix: str = "trade=1"):
        directory.mkdir(parents=True, exist_ok=True)
        addresses = network.addresses if network else ["127.0.0.1", "127.0.0.1"]
        certificates = directory / "certificates"
        tool(str(harness.REPLAYER), "certificate", "--directory", str(certificates), "--name", "localhost", *set(addresses))
        program = harness.REPLAYER
        if network:
            # harness.Replayer runs a program, and this one has to run inside of the namespace.
            harness.REPLAYER = directory / "replayer.sh"
            harness.REPLAYER.write_text(f'#!/bin/sh\nexec ip netns exec {network.name} "{program}" "$@"\n')
            harness.REPLAYER.chmod(0o755)
        self.path = directory / "control"
        try:
            self.replayer = harness.Replayer(
                directory, "--listen", f"{addresses[1]}:0", "--synthetic", "--symbols", symbols, "--mix", mix,
                "--pace", f"rate={rate}", "--certificate-directory", certificates, "--control", self.path,
                "--backlog-cut", 16_000_000, "--quiet", *more, listen=f"{addresses[0]}:0", truth=truth)
        finally:
            harness.REPLAYER = program
        self.endpoints = json.loads(self.replayer.wait_for(r'\{"listening".*\}').group())["listeners"]
        self.control = socket.socket(socket.AF_UNIX)
        self.control.connect(str(self.path))
        self.lines = self.control.makefile("rw")
        known = list(harness.SYMBOLS[:symbols])
        self.symbols = known + [f"S{number:04}USDT" for number in range(len(known) + 1, symbols + 1)]

    def command(self, line: str) -> dict:
        self.lines.write(line + "\n")
        self.lines.flush()
        answer = json.loads(self.lines.readline())
        if not answer["ok"]:
            raise RuntimeError(f"{line}: {answer['error']}")
        return answer

    def connections(self, address: int | None = None) -> list[dict]:
        """Open connections, the oldest first."""
        found = self.command("connections")["connections"]
        return sorted((each for each in found if address in (None, each["address"])), key=lambda each: -each["seconds"])

    def wait_connections(self, count: int, streams: int, seconds: float = 60):
        """Until so many connections are open with so many streams together."""
        def complete():
            found = self.connections()
            return len(found) == count and sum(each["streams"] for each in found) == streams
        harness.wait_until(f"state of {count} connections with {streams} streams", complete, seconds, 0.2)

    def end(self):
        self.control.close()
        if self.replayer.is_running:
            self.replayer.terminate(30)


class Truth:
    """What the replayer wrote down: trades by connection, and when connections opened."""

    FRAME = re.compile(rb'^(\d+)\t(\d+)\t\{"stream":"([^"@]+)@trade".*?"t":(\d+),')

    def __init__(self, path: Path):
        # For each symbol: send times, and for each the connection and the id.
        self.times: dict[str, list[int]] = defaultdict(list)
        self.sent: dict[str, list[tuple[int, int]]] = defaultdict(list)
        self.opened: dict[int, int] = {}
        self.gone: dict[int, int] = {}
        self.symbols: dict[int, set[str]] = defaultdict(set)
        with open(path, "rb") as lines:
            for line in lines:
                match = self.FRAME.match(line)
                if match:
                    connection, sent = int(match[1]), int(match[2])
                    symbol = match[3].decode().upper()
                    self.times[symbol].append(sent)
                    self.sent[symbol].append((connection, int(match[4])))
                    self.symbols[connection].add(symbol)
                    continue
                connection, when, text = line.rstrip(b"\n").split(b"\t", 2)
                if text.startswith(b"! open"):
                    self.opened[int(connection)] = int(when)
                elif text == b"! gone":
                    self.gone[int(connection)] = int(when)

    def pause(self) -> float:
        """The longest time in which no trade was sent to anybody, ms."""
        times = sorted(time for times in self.times.values() for time in times)
        return max((later - earlier for earlier, later in zip(times, times[1:])), default=0) / 1e6

    def first_after(self, symbols, when: int, accepts) -> tuple[int, int, str, int] | None:
        """The first trade of the symbols sent after `when` on a connection that is accepted:
        (send time, connection, symbol, id)."""
        best = None
        for symbol in symbols:
            times, sent = self.times[symbol], self.sent[symbol]
            for index in range(bisect_right(times, when), len(times)):
                if best and times[index] >= best[0]:
                    break
                connection, identity = sent[index]
                if accepts(connection):
                    best = (times[index], connection, symbol, identity)
                    break
        return best


class Output:
    """What the collector published, read from its file sink (not compressed)."""

    TRADE = re.compile(rb'"type":"trade".*?"symbol":"([^"]+)".*?"receivedTime":(\d+),"tradeId":(\d+),|"type":"gap"')

    def __init__(self, directory: Path):
        # For each symbol: id to receive time.
        self.received: dict[str, dict[int, int]] = defaultdict(dict)
        # (symbol, receive time) of every trade that came a second time.
        self.duplicates: list[tuple[str, int]] = []
        # (symbol, first, last, receive time, cause)
        self.gaps: list[tuple[str, int, int, int, str]] = []
        self.dead_letters = 0
        for path in sorted(directory.rglob("*")):
            if path.is_file():
                with open(path, "rb") as lines:
                    for line in lines:
                        self.take(line)

    def take(self, line: bytes):
        match = self.TRADE.search(line)
        if match and match[1]:
            symbol, received, identity = match[1].decode(), int(match[2]), int(match[3])
            if identity in self.received[symbol]:
                self.duplicates.append((symbol, received))
            else:
                self.received[symbol][identity] = received
        elif match:
            gap = json.loads(line)
            if gap["of"] == "trade":
                self.gaps.append((gap["symbol"], gap["firstMissing"], gap["lastMissing"], gap["receivedTime"], gap["cause"]))
        elif b'"deadletter"' in line:
            self.dead_letters += 1

    def missing(self) -> list[tuple[str, int, int, int]]:
        """(symbol, first, last, when the next one came) of every hole in what was published."""
        holes = []
        for symbol, trades in self.received.items():
            previous = None
            for identity in sorted(trades):
                if previous is not None and identity > previous + 1:
                    holes.append((symbol, previous + 1, identity - 1, trades[identity]))
                previous = identity
        return holes

    def unreported(self) -> list[tuple[str, int, int, int]]:
        """Holes, or parts of them, that no gap event tells of."""
        told: dict[str, list[tuple[int, int]]] = defaultdict(list)
        for symbol, first, last, _, _ in self.gaps:
            told[symbol].append((first, last))
        silent = []
        for symbol, first, last, when in self.missing():
            at = first
            for begin, end in sorted(told[symbol]):
                if end < at or begin > last:
                    continue
                if begin > at:
                    silent.append((symbol, at, begin - 1, when))
                at = max(at, end + 1)
            if at <= last:
                silent.append((symbol, at, last, when))
        return silent


def clean(directory: Path):
    shutil.rmtree(directory, ignore_errors=True)


def now() -> int:
    return time.time_ns()
