"""One exchange, one collector, faults that are caused, and what became of each."""

import random
import time
from collections import defaultdict
from pathlib import Path

from exchange import Exchange, Output, Truth, harness

WATCHDOG = {"silence": "3s", "probe": "1s", "answer": "2s", "streamFloor": "1s", "streamSilence": "60s"}
LIMITS = {"openTimeout": "1s", "answerTimeout": "1s"}

# The connection ends, and the server accepts the next one at once.
ENDS = {
    "cut (FIN)": "cut {}", "reset (RST)": "reset {}", "TLS alert": "alert {}", "close 1001": "close 1001 {}",
    "close 1008": "close 1008 {} reason Too many requests", "close 1005 (wrong)": "close 1005 {}", "close without code": "close none {}",
    "reserved opcode": "garbage opcode {}", "text not UTF-8": "garbage utf8 {}",
}
# Announced: the successor delivers before the old one goes.
PLANNED = {"serverShutdown": "shutdown {} lead 3s"}
# The connection goes on.
PASSING = {"3 ids skipped": "skip 3 {}", "3 ids repeated": "repeat 3 {}", "frame of garbage": "garbage text {}"}


class Strike:
    """A fault that was caused."""

    def __init__(self, kind: str, connection: int, when: int, address: int = 0, excludes: bool = True, symbols=None):
        self.kind, self.connection, self.when, self.address = kind, connection, when, address
        # Whether the connection itself counts as broken from then on.
        self.excludes = excludes
        self.symbols = symbols


class Scenario:
    """One exchange and one collector."""

    def __init__(self, name: str, options, network, *, slots: int, per_slot: int, rate: int, legs: int = 1, more=(),
                 truth: bool = True, start: bool = True, limits=None, more_entry=None):
        # `start`: wait until all is open, with watchdogs that are as short as a hundred runs want them.
        self.name, self.options, self.legs, self.slots = name, options, legs, slots
        self.directory = Path(options.directory) / name
        self.exchange = Exchange(self.directory / "exchange", network, slots * per_slot, rate, *more, truth=truth)
        self.strikes: list[Strike] = []
        self.network = network
        endpoints = self.exchange.endpoints
        entry = harness.exchange(
            endpoints if legs == 2 else endpoints[0], self.exchange.replayer.authority,
            [{"type": "trade", "symbols": self.exchange.symbols}], legs=legs,
            limits={**((limits or LIMITS) if start else {}), "streamsPerConnection": per_slot})
        if start:
            entry["watchdog"] = WATCHDOG
        entry.update(more_entry or {})
        self.configuration = harness.configuration(
            self.directory, [entry], {"type": "file", "path": str(self.directory / "out")},
            collector={
                "name": "faults", "lanes": 1, "idle": "park", "dataDirectory": str(self.directory / "data"),
                "connectionAttempts": {"perWindow": 100000, "window": "5m"},
            },
            batching={"maxEvents": 500, "maxBytes": 65536, "maxDelay": "5ms", "compression": "none", "payload": "batch"})
        try:
            self.collector = harness.Collector(self.directory, self.configuration)
            if start:
                self.exchange.wait_connections(slots * legs, slots * per_slot * legs)
                # Streams are to be known to their watchdogs, and connections to have lasted.
                time.sleep(6)
        except BaseException:
            self.end()
            raise

    def end(self):
        collector = getattr(self, "collector", None)
        if collector and collector.is_running:
            code = collector.terminate(60)
            assert code == 0, f"the collector ended with {code}:\n{collector.log()[-3000:]}"
        self.exchange.end()
        assert collector is None or collector.child.returncode == 0, collector.log()[-3000:]

    def strike(self, kind: str, command: str, connection: dict, after: float = 0, **more):
        """`after`: the fault's figures count from so many seconds later."""
        answer = self.exchange.command(command.format(connection["number"]))
        when = answer["time"] + int(after * 1e9)
        self.strikes.append(Strike(kind, connection["number"], when, connection["address"], **more))

    def judge(self) -> dict:
        """What became of every strike."""
        truth = Truth(self.exchange.replayer.truth)
        output = Output(self.directory / "out")
        kinds: dict[str, dict] = {}
        by_symbol: dict[str, list[Strike]] = defaultdict(list)
        for strike in self.strikes:
            figures = kinds.setdefault(
                strike.kind, {"runs": 0, "reconnect": [], "data": [], "never": 0, "lost": 0, "twice": 0, "told": 0, "gaps": 0})
            figures["runs"] += 1
            symbols = strike.symbols or truth.symbols[strike.connection]
            for symbol in symbols:
                by_symbol[symbol].append(strike)
            if strike.kind in PASSING:
                continue

            def accepts(connection, strike=strike):
                return (connection != strike.connection or not strike.excludes) and (
                    self.legs == 1 or self.address(connection) == strike.address or strike.kind.startswith("partition"))
            self.addresses = self.addresses if hasattr(self, "addresses") else self.read_addresses()
            found = truth.first_after(symbols, strike.when, accepts)
            if found is None:
                figures["never"] += 1
                continue
            sent, connection, symbol, identity = found
            received = sent if self.legs == 2 else output.received[symbol].get(identity, sent)
            figures["data"].append((received - strike.when) / 1e6)
            opened = truth.opened.get(connection)
            if opened and opened >= strike.when:
                figures["reconnect"].append((opened - strike.when) / 1e6)

        def culprit(symbol: str, when: int) -> dict:
            last = None
            for strike in by_symbol[symbol]:
                if strike.when <= when:
                    last = strike
            return kinds[last.kind] if last else kinds.setdefault(
                "(no fault)", {"runs": 0, "reconnect": [], "data": [], "never": 0, "lost": 0, "twice": 0, "told": 0, "gaps": 0})
        for symbol, first, last, when in output.unreported():
            culprit(symbol, when)["lost"] += last - first + 1
        for symbol, when in output.duplicates:
            culprit(symbol, when)["twice"] += 1
        for symbol, first, last, when, _ in output.gaps:
            figures = culprit(symbol, when)
            figures["told"] += last - first + 1
            figures["gaps"] += 1
        # Where all connections are struck together the silence is the fault's.
        pause = None if self.name == "silence" else truth.pause()
        published = sum(len(trades) for trades in output.received.values())
        return {"kinds": kinds, "published": published, "deadLetters": output.dead_letters, "exchangePauseMs": pause}

    def read_addresses(self) -> dict[int, int]:
        """Which address each connection came to, from the ports in the ground truth."""
        ports = [int(endpoint.rpartition(":")[2]) for endpoint in self.exchange.endpoints]
        found = {}
        with open(self.exchange.replayer.truth, "rb") as lines:
            for line in lines:
                if b"\t! open listener=" in line:
                    connection = int(line.split(b"\t", 1)[0])
                    found[connection] = ports.index(int(line.split(b"listener=")[1].split()[0]))
        return found

    def address(self, connection: int) -> int:
        return self.addresses.get(connection, -1)


def rotating(scenario: Scenario, kinds: dict[str, str], runs: int, spacing: float, address=None):
    """All kinds in random order, each on a connection that has lived for a while."""
    order = [kind for kind in kinds for _ in range(runs)]
    random.Random(5).shuffle(order)
    rested: dict[str, float] = {}
    for kind in order:
        deadline = time.monotonic() + 20
        while True:
            moment = time.monotonic()
            able = [
                each for each in scenario.exchange.connections(address)
                if each["seconds"] > 5.2 and moment - rested.get(each["first"], 0) > (5 if kind in PLANNED else 4)
            ]
            if able or moment > deadline:
                break
            time.sleep(0.05)
        assert able, f"no connection has lasted for 5 s:\n{scenario.collector.log()[-3000:]}"
        chosen = random.choice(able[:8])
        rested[chosen["first"]] = moment
        scenario.strike(kind, kinds[kind], chosen)
        time.sleep(spacing)
