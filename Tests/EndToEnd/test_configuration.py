"""`check` on wrong configurations: every error at once, with file, line, key and remedy, and exit code 78."""

import json
import subprocess

import pytest

import harness

GOOD = """\
collector: { name: test, lanes: 1, idle: park }
exchanges:
  - adapter: binance
    market: spot
    endpoint: wss://localhost:9443
    subscriptions:
      - { type: trade, symbols: [BTCUSDT] }
batching: { maxEvents: 500, maxBytes: 65536, maxDelay: 1ms, compression: zstd, level: 1, payload: batch }
sink: { type: "null" }
api: { listen: "127.0.0.1:0" }
log: { level: info, format: text }
"""

# What is replaced in GOOD, by what, and what the message must name beside file and line.
WRONG = [
    ("adapter: binance", "adapter: binanse", ["adapter", "binanse", "binance"]),
    ("market: spot", "market: spto", ["market", "spto", "spot"]),
    ("wss://localhost:9443", "http://localhost:9443", ["endpoint", "wss://"]),
    ("wss://localhost:9443", "wss://localhost:99999", ["endpoint", "port"]),
    ("wss://localhost:9443", "[wss://localhost:9443, http://b]", ["endpoint[1]", "wss://"]),
    ("market: spot", "market: spot\n    legs: 3", ["legs", "1 to 2"]),
    ("market: spot", "market: spot\n    rollover: { after: 25h }", ["rollover.after", "24 h", "23h"]),
    ("market: spot", "market: spot\n    rollover: { at: noon }", ["rollover.at", "03:00-05:00"]),
    ("market: spot", "market: spot\n    watchdog: { probe: 2m }", ["watchdog.probe", "shorter"]),
    ("market: spot", "market: spot\n    limits: { messagesPerSecond: 0 }", ["limits.messagesPerSecond", "1"]),
    ("lanes: 1", "connectionAttempts: { perWindow: none }", ["connectionAttempts.perWindow", "none"]),
    ("type: trade,", "type: tirade,", ["type", "tirade", "trade"]),
    ("type: trade,", "type: kline,", ["interval"]),
    ("type: trade,", "type: kline, interval: 2m,", ["interval", "2m"]),
    (", symbols: [BTCUSDT]", "", ["symbols"]),
    ("symbols: [BTCUSDT]", "symbols: []", ["symbols"]),
    ("symbols: [BTCUSDT]", "symbols: BTCUSDT", ["symbols", "["]),
    ("lanes: 1", "lanes: 0", ["lanes", "1"]),
    ("lanes: 1", "lanes: many", ["lanes", "many"]),
    ("lanes: 1", "lnaes: 1", ["lnaes", "lanes"]),
    ("idle: park", "idle: sleep", ["idle", "spin"]),
    ("maxDelay: 1ms", "maxDelay: 1 fortnight", ["maxDelay", "1ms"]),
    ("maxEvents: 500", "maxEvents: 0", ["maxEvents"]),
    ("compression: zstd", "compression: gzip", ["compression", "zstd"]),
    ("level: 1,", "level: 99,", ["level", "99"]),
    ("payload: batch", "payload: bach", ["payload", "batch"]),
    ('sink: { type: "null" }', "sink: { type: file }", ["path"]),
    ('sink: { type: "null" }', "sink: { type: pubsub }", ["project"]),
    ('sink: { type: "null" }', "sink: { type: kafka }", ["sink.type", "kafka"]),
    ('sink: { type: "null" }', 'sink: { type: pubsub, project: p, topic: "market.{tpye}" }', ["topic", "tpye"]),
    ('"127.0.0.1:0"', "nowhere", ["api.listen", "nowhere"]),
    ("level: info", "level: loud", ["log.level", "loud"]),
    ("exchanges:", "exchange:", ["exchange"]),
    ("market: spot", "market: ${NO_SUCH_VARIABLE}", ["NO_SUCH_VARIABLE"]),
    ("market: spot", "market: spot\n    tls: { certificateAuthority: /no/such/ca.pem }", ["certificateAuthority"]),
]


def check(file) -> subprocess.CompletedProcess:
    return subprocess.run(
        [harness.COLLECTOR, "check", "--config", file], capture_output=True, text=True, timeout=30)


def test_a_good_configuration_passes(tmp_path):
    file = tmp_path / "good.yaml"
    file.write_text(GOOD)
    result = check(file)
    assert result.returncode == 0, result.stderr
    assert "error" not in result.stderr


@pytest.mark.parametrize("old, new, words", WRONG, ids=[f"{old.strip()}->{new.strip()}"[:60] for old, new, _ in WRONG])
def test_a_wrong_configuration_is_explained(tmp_path, old, new, words):
    assert old in GOOD
    file = tmp_path / "wrong.yaml"
    file.write_text(GOOD.replace(old, new))
    result = check(file)
    assert result.returncode == 78, result.stdout + result.stderr
    errors = [line for line in result.stderr.splitlines() if "error:" in line]
    assert errors and all(line.startswith(f"{file}:") for line in errors), result.stderr
    told = "\n".join(errors)
    for word in words:
        assert word in told, f"{word!r} is not named in:\n{told}"


def test_all_errors_are_told_at_once(tmp_path):
    file = tmp_path / "wrong.yaml"
    file.write_text(GOOD.replace("lanes: 1", "lanes: 0").replace("level: info", "level: loud"))
    errors = check(file).stderr
    assert "collector.lanes" in errors and "log.level" in errors
    line = next(line for line in errors.splitlines() if "log.level" in line)
    assert line.startswith(f"{file}:{GOOD.splitlines().index('log: { level: info, format: text }') + 1}:")


def test_run_refuses_what_check_refuses(tmp_path):
    file = tmp_path / "wrong.yaml"
    file.write_text(GOOD.replace("lanes: 1", "lanes: 0"))
    result = subprocess.run(
        [harness.COLLECTOR, "run", "--config", file], capture_output=True, text=True, timeout=30)
    assert result.returncode == 78 and "collector.lanes" in result.stderr


def test_no_file_and_no_yaml(tmp_path):
    result = check(tmp_path / "absent.yaml")
    assert result.returncode == 66 and "absent.yaml" in result.stderr
    file = tmp_path / "broken.yaml"
    file.write_text("a: [1\nb")
    result = check(file)
    assert result.returncode == 78 and f"{file}:" in result.stderr


def test_json_is_yaml(tmp_path):
    file = tmp_path / "good.json"
    file.write_text(json.dumps(harness.configuration(
        tmp_path, [harness.exchange("wss://localhost:1", None, [{"type": "trade", "symbols": ["币安人生USDT"]}])],
        {"type": "null"}), ensure_ascii=False))
    result = check(file)
    assert result.returncode == 0, result.stderr
