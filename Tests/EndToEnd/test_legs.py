"""Two legs of one market, each of which loses frames and connections: together they must lose nothing unsaid."""

import json
import re
import socket
import time
from collections import defaultdict

import delivery
import harness
import oracle

TRADE = re.compile(rb'"s":"([^"]+)","t":(\d+),')


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def sent_ids(replayer) -> dict[str, set[int]]:
    """What any connection was sent, by symbol."""
    ids = defaultdict(set)
    for _, _, frame in replayer.sent():
        symbol, number = TRADE.search(frame).groups()
        ids[symbol.decode()].add(int(number))
    return ids


def test_what_one_leg_loses_comes_on_the_other(programs, tmp_path):
    first, second = free_port(), free_port()
    # One leg at a time loses its connection; both leave out and repeat frames all the time.
    script = tmp_path / "faults.txt"
    script.write_text("".join(f"at {at}s cut listener {(first, second)[at // 5 % 2]}\n" for at in (5, 10, 15)))
    replayer = programs.replayer(
        "--listen", f"127.0.0.1:{second}", "--lag", f"{second}=15ms", "--synthetic", "--symbols", 5, "--seed", 11,
        "--mix", "trade=100", "--pace", "rate=1000", "--fault", "skip=0.003,repeat=0.003", "--fault-script", script,
        "--messages", 40000, listen=f"127.0.0.1:{first}")
    hosts = [f"wss://localhost:{port}" for port in (first, second)]
    begin = time.time_ns()
    collector = programs.collector(
        [harness.exchange(
            hosts, replayer.authority, [{"type": "trade", "symbols": replayer.symbols}], legs=2)],
        {"type": "file", "path": str(tmp_path / "out")})
    collector.wait_quiet(quiet=5)
    metrics = collector.metrics()
    metrics.check_identity()
    assert collector.terminate() == 0
    assert replayer.terminate() == 0

    lines = delivery.read_segments(tmp_path / "out")
    sent = sent_ids(replayer)
    missing_in_all = 0
    for symbol in replayer.symbols:
        published = [json.loads(line)["tradeId"] for line in lines[oracle.topic("trade", "binance", symbol)]]
        gaps = [json.loads(line) for line in lines.get(oracle.topic("gap", "binance", symbol), [])]
        told = {state: set() for state in ("open", "repaired")}
        for gap in gaps:
            told[gap["state"]].update(range(gap["firstMissing"], gap["lastMissing"] + 1))
            assert begin < gap["receivedTime"] < time.time_ns()
        assert len(published) == len(set(published)), f"{symbol}: a trade twice"
        assert set(published) <= sent[symbol]
        missing = set(range(min(published), max(published) + 1)) - set(published)
        assert missing == told["open"] - told["repaired"], f"{symbol}: what is missing is not what was said"
        unsaid = {number for number in sent[symbol] if number > min(published)} - set(published) - told["open"]
        # What was sent last may have been cut with its connections.
        assert all(number > max(published) for number in unsaid), f"{symbol}: lost without a word: {sorted(unsaid)}"
        # In order, but for what was said to have come late.
        in_order = [number for number in published if number not in told["repaired"] and number >= published[0]]
        assert in_order == sorted(in_order), symbol
        missing_in_all += len(missing)

    lost = [metrics.total("collector_leg_lost_total", leg=str(leg)) for leg in (0, 1)]
    won = [metrics.total("collector_leg_won_total", leg=str(leg)) for leg in (0, 1)]
    leads = [metrics.total("collector_leg_lead_seconds_count", leg=str(leg)) for leg in (0, 1)]
    count = sum(len(lines[oracle.topic("trade", "binance", symbol)]) for symbol in replayer.symbols)
    assert min(lost) > 20, "the legs lost too little to show anything"
    assert missing_in_all < max(lost) / 4, (missing_in_all, lost)
    assert sum(won) == count
    assert won[0] > won[1] > 0, "the second leg comes 15 ms later, but wins where the first one loses"
    assert leads[0] > 100
    mean = metrics.total("collector_leg_lead_seconds_sum", leg="0") / leads[0]
    assert 0.012 < mean < 0.5, f"the first leg leads by {mean} s"
    print(f"{count} trades; lost {lost} by the legs, {missing_in_all} by both; won {won}; led by {mean * 1000:.1f} ms")
