"""`plan`: which connection would carry which streams, and what that costs; nothing is connected to."""

import json
import subprocess

import harness


def plan(directory, exchange: dict, *arguments, collector: dict | None = None) -> subprocess.CompletedProcess:
    file = directory / "plan.json"
    file.write_text(json.dumps({
        "collector": {"name": "planned", **(collector or {})},
        "exchanges": [{"adapter": "binance", **exchange}], "sink": {"type": "null"},
    }))
    return subprocess.run(
        [harness.COLLECTOR, "plan", "--config", file, *arguments], capture_output=True, text=True, timeout=30)


def symbols(count: int) -> list[str]:
    return [f"S{index}USDT" for index in range(count)]


def trades(count: int) -> dict:
    return {"subscriptions": [{"type": "trade", "symbols": symbols(count)}]}


def test_people_are_told(tmp_path):
    result = plan(tmp_path, trades(1_500))
    assert result.returncode == 0, result.stderr
    lines = result.stdout.splitlines()
    assert lines[0] == "collector planned: 1,500 streams over 2 connections in 1 lane"
    told = result.stdout
    for words in ["exchange binance", "stream.binance.com:9443", "22.5 h to 23 h", "market.trade.binance.S0USDT",
                  "2 of 300 in 5 min", "subscribed after"]:
        assert words in told, f"{words!r} is not in:\n{told}"
    assert "s0usdt@trade" not in told
    assert "s1499usdt@trade" in plan(tmp_path, trades(1_500), "--streams").stdout


def test_programs_are_told(tmp_path):
    result = plan(tmp_path, {**trades(2_500), "legs": 2}, "--json", "--streams", collector={"lanes": 2})
    assert result.returncode == 0, result.stderr
    told = json.loads(result.stdout)
    assert told["budget"]["connections"] == 8 and told["budget"]["connectionsAtWorst"] == 16
    assert told["exchanges"][0]["streams"] == 2_500 and len(told["exchanges"][0]["topics"]) == 2_500
    carried = {}
    for lane in told["lanes"]:
        for slot in lane["slots"]:
            assert slot["streamCount"] == len(slot["streams"]) <= 1_000
            assert slot["requests"] >= slot["streamCount"] / 200
            for stream in slot["streams"]:
                carried.setdefault(stream, []).append((lane["lane"], slot["shard"], slot["leg"]))
    assert len(carried) == 2_500
    for places in carried.values():
        # Both legs, in one lane and shard.
        assert len(places) == 2 and len({place[:2] for place in places}) == 1 and {p[2] for p in places} == {0, 1}
    # Legs prefer different hosts.
    hosts = {slot["leg"]: slot["endpoints"][0] for slot in told["lanes"][0]["slots"]}
    assert hosts[0].split(":")[1] != hosts[1].split(":")[1]


def test_the_same_configuration_gives_the_same_plan(tmp_path):
    first = plan(tmp_path, trades(3_000), "--json", "--streams", collector={"lanes": 3})
    assert first.returncode == 0 and first.stdout == plan(
        tmp_path, trades(3_000), "--json", "--streams", collector={"lanes": 3}).stdout


def test_what_cannot_work_is_refused(tmp_path):
    result = plan(
        tmp_path, {**trades(50), "limits": {"streamsPerConnection": 1, "connectionLifetime": "60s"}},
        collector={"connectionAttempts": {"perWindow": 10, "window": "5m"}})
    assert result.returncode == 78 and not result.stdout
    assert "renewing 50 connections takes" in result.stderr and "budget" in result.stderr


def test_help_has_examples():
    result = subprocess.run([harness.COLLECTOR, "plan", "--help"], capture_output=True, text=True, timeout=30)
    assert result.returncode == 0 and "EXAMPLES" in result.stdout and "--streams" in result.stdout
