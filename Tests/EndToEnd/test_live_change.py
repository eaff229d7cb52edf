"""Subscribing and unsubscribing while the collector runs: over the API, and by SIGHUP. Nothing else is disturbed."""

import json
import re
import signal
import time
import urllib.error
import urllib.request

import delivery
import harness
import oracle

SYMBOLS = harness.SYMBOLS[:6]
MARKET = ["--synthetic", "--symbols", 6, "--seed", 5, "--mix", "trade=100", "--pace", "rate=2000"]


def request(collector, method: str, body, headers: dict | None = None) -> tuple[int, dict]:
    """A request to /v1/subscriptions: status and answer."""
    asked = urllib.request.Request(
        f"http://{collector.address}/v1/subscriptions", method=method,
        data=body.encode() if isinstance(body, str) else json.dumps(body).encode(),
        headers={"Content-Type": "application/json", **(headers or {})})
    try:
        with urllib.request.urlopen(asked, timeout=5) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        return error.code, json.loads(error.read())


def trades(*symbols: str) -> dict:
    return {"type": "trade", "symbols": list(symbols)}


def streams(collector) -> dict[str, dict]:
    status, body = collector.get("/v1/streams")
    assert status == 200, body
    told = json.loads(body)
    assert told["count"] == len(told["streams"])
    return {stream["stream"]: stream for stream in told["streams"]}


def wait_delivering(collector, *symbols: str):
    names = [f"{symbol.lower()}@trade" for symbol in symbols]

    def all_deliver():
        now = streams(collector)
        return all(name in now and now[name]["state"] == "delivering" for name in names)

    harness.wait_until(f"data of {', '.join(names)}", all_deliver)


def start(programs, tmp_path, subscribed: dict, **more):
    replayer = programs.replayer(*MARKET)
    entry = harness.exchange(replayer.endpoint, replayer.authority, [subscribed], **more)
    collector = programs.collector([entry], {"type": "file", "path": str(tmp_path / "out")})
    collector.wait_ready()
    wait_delivering(collector, *subscribed["symbols"])
    return replayer, collector


def finish(replayer, collector, tmp_path) -> dict[str, list[int]]:
    """Ends both; trade ids that were published, by symbol. They are contiguous and were sent."""
    metrics = collector.metrics()
    assert collector.terminate() == 0, collector.log()
    assert replayer.terminate() == 0
    assert metrics.total("collector_gaps_total") == 0
    assert metrics.total("collector_events_dead_lettered_total") == 0
    lines = delivery.read_segments(tmp_path / "out")
    assert not [topic for topic in lines if ".gap." in topic]
    published = {}
    for symbol in SYMBOLS:
        ids = [json.loads(line)["tradeId"] for line in lines.get(oracle.topic("trade", "binance", symbol), [])]
        assert len(ids) == len(set(ids)), f"{symbol}: a trade twice"
        published[symbol] = ids
    return published


def is_whole(ids: list[int]) -> bool:
    return bool(ids) and ids == list(range(ids[0], ids[-1] + 1))


def connections_used(replayer) -> int:
    return len({connection for connection, _, _ in replayer.sent()})


def test_streams_come_and_go_on_one_connection(programs, tmp_path):
    replayer, collector = start(programs, tmp_path, trades(*SYMBOLS[:2]))
    status, answer = request(collector, "POST", [trades(SYMBOLS[1], *SYMBOLS[2:4])])
    assert status == 202, answer
    assert [one["stream"] for one in answer["added"]] == [f"{symbol.lower()}@trade" for symbol in SYMBOLS[2:4]]
    assert [one["stream"] for one in answer["unchanged"]] == [f"{SYMBOLS[1].lower()}@trade"]
    assert answer["newConnections"] == 0 and answer["changedConnections"] == 1
    wait_delivering(collector, *SYMBOLS[:4])

    status, answer = request(collector, "DELETE", trades(SYMBOLS[0]))
    assert status == 202 and [one["stream"] for one in answer["removed"]] == [f"{SYMBOLS[0].lower()}@trade"]
    assert f"{SYMBOLS[0].lower()}@trade" not in streams(collector)

    def count(symbol):
        return streams(collector)[f"{symbol.lower()}@trade"]["legs"][0]["messages"]

    before = {symbol: count(symbol) for symbol in SYMBOLS[1:4]}
    harness.wait_until(
        "more of the others", lambda: all(count(symbol) > before[symbol] + 100 for symbol in SYMBOLS[1:4]))
    published = finish(replayer, collector, tmp_path)
    assert connections_used(replayer) == 1
    assert all(is_whole(published[symbol]) for symbol in SYMBOLS[:4])
    # The one that was given up ended before the others, and the last two were never asked for.
    sent = [json.loads(frame)["data"] for _, _, frame in replayer.sent()]
    last = {symbol: index for index, data in enumerate(sent) for symbol in [data["s"]]}
    assert last[SYMBOLS[0]] < min(last[symbol] for symbol in SYMBOLS[1:4]) - 100
    assert not published[SYMBOLS[4]] and not published[SYMBOLS[5]]


def test_a_full_connection_gets_a_neighbour(programs, tmp_path):
    replayer, collector = start(programs, tmp_path, trades(*SYMBOLS[:2]), limits={"streamsPerConnection": 2})
    status, answer = request(collector, "POST", trades(*SYMBOLS[2:5]))
    assert status == 202 and answer["newConnections"] == 2, answer
    wait_delivering(collector, *SYMBOLS[:5])
    slots = {stream["legs"][0]["slot"] for stream in streams(collector).values()}
    assert slots == {0, 1, 2}
    harness.wait_until("readiness", lambda: collector.get("/readyz")[0] == 200)
    published = finish(replayer, collector, tmp_path)
    assert connections_used(replayer) == 3
    assert all(is_whole(published[symbol]) for symbol in SYMBOLS[:5])


def test_a_stream_that_comes_back(programs, tmp_path):
    replayer, collector = start(programs, tmp_path, trades(*SYMBOLS[:2]))
    for _ in range(2):
        # Several times at once, too.
        for _ in range(3):
            assert request(collector, "DELETE", trades(SYMBOLS[0]))[0] == 202
            assert request(collector, "POST", trades(SYMBOLS[0]))[0] == 202
        wait_delivering(collector, *SYMBOLS[:2])
    # What was not asked for in between is no gap.
    time.sleep(1)
    published = finish(replayer, collector, tmp_path)
    assert connections_used(replayer) == 1
    assert is_whole(published[SYMBOLS[1]]) and published[SYMBOLS[0]]


def test_changes_in_the_middle_of_replacements(programs, tmp_path):
    """Two legs whose connections are replaced every few seconds, while streams come and go."""
    replayer, collector = start(
        programs, tmp_path, trades(*SYMBOLS[:2]), legs=2,
        limits={"connectionLifetime": "6s"})
    deadline = time.monotonic() + 60
    rounds = 0
    while collector.metrics().total("collector_handovers_total") < 8:
        assert time.monotonic() < deadline, collector.log()
        assert request(collector, "POST", trades(*SYMBOLS[2:]))[0] == 202
        wait_delivering(collector, *SYMBOLS)
        assert request(collector, "DELETE", trades(*SYMBOLS[2:]))[0] == 202
        rounds += 1
    assert rounds > 1
    assert collector.metrics().total("collector_handovers_failed_total") == 0
    published = finish(replayer, collector, tmp_path)
    assert all(is_whole(published[symbol]) for symbol in SYMBOLS[:2])
    assert all(published[symbol] for symbol in SYMBOLS[2:])


def test_wrong_requests_change_nothing(programs, tmp_path):
    replayer, collector = start(programs, tmp_path, trades(SYMBOLS[0]))
    before = set(streams(collector))
    for body, word in [
        ("", "no JSON"), ("[", "no JSON"), ("[]", "empty"), (trades(), "symbols"), ({"type": "tirade", "symbols": ["A"]}, "trade"),
        ({"type": "depth", "symbols": ["A"]}, "depth"), ({**trades("A"), "exchange": "nowhere"}, "binance"),
        ({**trades("A"), "window": "1h"}, "window"), ([trades("BTC/USDT")], "U+2F"),
    ]:
        status, answer = request(collector, "POST", body)
        assert status == 400 and word in json.dumps(answer), (body, answer)
    assert request(collector, "POST", trades("A"), {"Content-Type": "text/plain"})[0] == 415
    assert request(collector, "POST", trades("A"), {"Host": "attacker.example"})[0] == 403
    assert request(collector, "PUT", trades("A"))[0] == 405
    assert set(streams(collector)) == before
    finish(replayer, collector, tmp_path)


def reload(collector, changes) -> str:
    """Changes the configuration file, sends SIGHUP; what was logged about it."""
    configuration = json.loads(collector.file.read_text())
    changes(configuration)
    collector.file.write_text(json.dumps(configuration))
    before = len(collector.log())
    collector.child.send_signal(signal.SIGHUP)
    harness.wait_until(
        "the end of the reload",
        lambda: re.search(r"reload: (\d+ streams added|nothing was changed)", collector.log()[before:]))
    return "\n".join(line for line in collector.log()[before:].splitlines() if "reload" in line)


def test_sighup_applies_the_difference_of_the_file(programs, tmp_path):
    replayer, collector = start(programs, tmp_path, trades(*SYMBOLS[:2]))
    # A stream that the file does not name goes with the next reload.
    assert request(collector, "POST", trades(SYMBOLS[5]))[0] == 202
    wait_delivering(collector, SYMBOLS[5])

    def change(configuration):
        configuration["exchanges"][0]["subscriptions"] = [trades(*SYMBOLS[1:4])]
        configuration["batching"]["maxEvents"] = 77

    told = reload(collector, change)
    for symbol, sign in [(SYMBOLS[0], "-"), (SYMBOLS[5], "-"), (SYMBOLS[2], "+"), (SYMBOLS[3], "+")]:
        assert f"reload: {sign} binance {symbol.lower()}@trade" in told, told
    assert SYMBOLS[1].lower() not in told
    assert "reload: batching.maxEvents was changed in the file and is not applied; restart" in told
    wait_delivering(collector, *SYMBOLS[1:4])
    assert set(streams(collector)) == {f"{symbol.lower()}@trade" for symbol in SYMBOLS[1:4]}

    def spoil(configuration):
        configuration["exchanges"][0]["subscriptions"] = [{"type": "tirade", "symbols": ["A"]}]

    told = reload(collector, spoil)
    assert "exchanges[0].subscriptions[0].type" in told and "nothing was changed" in told
    assert set(streams(collector)) == {f"{symbol.lower()}@trade" for symbol in SYMBOLS[1:4]}
    published = finish(replayer, collector, tmp_path)
    assert connections_used(replayer) == 1
    assert all(is_whole(published[symbol]) for symbol in SYMBOLS[:4] + SYMBOLS[5:])
