"""A synthesised market with every type, and symbols that are not ASCII, to the official subscriber."""

import json

import pytest

import delivery
import feeds
import harness
import oracle
from test_pubsub import deliver

ODD = "币安人生USDT"


@pytest.fixture
def odd_feed(tmp_path):
    """Frames as the exchange sends them for a symbol with Chinese letters, and with shapes that vary."""
    frames = []
    for number in range(1, 201):
        trade = {
            "e": "trade", "E": 1790960630000 + number, "s": ODD, "t": number if number < 100 else number + 7,
            "p": f"{number}.04000000", "q": "0.00000001", "T": 1790960630000 + number, "m": number % 2 == 0, "M": True,
        }
        if number % 5 == 0:
            trade = dict(reversed(trade.items()))  # another order of keys
        if number % 7 == 0:
            trade = {"new": {"nested": [1, {"a": "}\\\""}]}, **trade, "z": None}  # keys that nobody knows
        kline = {
            "t": 1790960580000, "T": 1790960639999, "s": ODD, "i": "1m", "f": -1, "L": -1, "o": "1.0", "c": "1.0",
            "h": "1.0", "l": "1.0", "v": "0.00000000", "n": 0, "x": number == 200, "q": "123456789012345678.12345678",
            "V": "0", "Q": "0", "B": "0",
        }
        average = {"e": "avgPrice", "E": 1790960630000 + number, "s": ODD, "i": "5m", "w": "0.00000001", "T": 1790960629999}
        rolling = {
            "e": "4hTicker", "E": 1790960630000 + number, "s": ODD, "p": "-0.00", "P": "-1.5", "o": "1", "h": "2", "l": "0.5",
            "c": "1", "w": "1", "v": "99999999999999999999.99999999", "q": "18", "O": 0, "C": 1675216573749, "F": 0,
            "L": 18150, "n": 18151,
        }
        low = ODD.lower()
        for stream, data in (
            (f"{low}@trade", trade), (f"{low}@kline_1m", {"e": "kline", "E": 1790960630000 + number, "s": ODD, "k": kline}),
            (f"{low}@avgPrice", average), (f"{low}@ticker_4h", rolling),
        ):
            separators = (", ", ": ") if number % 11 == 0 else (",", ":")
            frames.append(json.dumps({"stream": stream, "data": data}, ensure_ascii=False, separators=separators))
    path = tmp_path / "odd.ndjson"
    path.write_text("\n".join(frames) + "\n", encoding="utf-8")
    return path


def test_odd_symbols_shapes_and_numbers(programs, emulator, odd_feed):
    frames = feeds.frames(odd_feed)
    streams = list(dict.fromkeys(feeds.stream_of(frame) for frame in frames))
    assert len(streams) == 4
    expected, messages, _, _ = deliver(
        programs, emulator, oracle.expect(frames).topics(), ["--feed", odd_feed, "--pace", "rate=2000", "--start-after-streams", 4], streams)
    assert expected.total == 801  # 200 of each type, and one gap
    assert "market.trade.binance.%E5%B8%81%E5%AE%89%E4%BA%BA%E7%94%9FUSDT" in expected.events
    assert {message.attributes["symbol"] for message in messages} == {ODD}


def test_a_synthesised_market_of_every_type(programs, emulator, tmp_path):
    mix = "trade=40,aggTrade=10,kline=10,ticker=10,miniTicker=10,bookTicker=10,avgPrice=10"
    count = 20_000
    symbols = harness.SYMBOLS[:6]
    streams = [
        f"{symbol.lower()}@{kind}" for symbol in symbols
        for kind in ("trade", "aggTrade", "kline_1m", "ticker", "miniTicker", "bookTicker", "avgPrice")
    ]
    types = ("trade", "aggTrade", "kline", "ticker", "miniTicker", "bookTicker", "averagePrice")
    topics = [oracle.topic(type_, "binance", symbol) for symbol in symbols for type_ in types]
    expected, messages, metrics, collector = deliver(
        programs, emulator, topics,
        ["--synthetic", "--symbols", 6, "--seed", 11, "--mix", mix, "--pace", "rate=5000", "--messages", count,
         "--start-after-streams", len(streams)], streams)
    assert expected.frames == count
    assert not expected.gaps and not expected.dead_letters
    assert set(expected.events) == set(topics)
    assert metrics.total("collector_gaps_total") == 0


def test_the_synthesised_market_goes_on_over_a_reconnect(programs, tmp_path):
    """The server ends the connection in the middle: what was missed is told, what came is whole."""
    replayer = programs.replayer(
        "--synthetic", "--symbols", 3, "--seed", 2, "--mix", "trade=100", "--pace", "rate=2000",
        "--close-after-frames", 2000)
    collector = programs.collector(
        [harness.exchange(replayer.endpoint, replayer.authority, [{"type": "trade", "symbols": replayer.symbols}])],
        {"type": "file", "path": str(tmp_path / "out")})
    harness.wait_until(
        "a reconnect", lambda: (m := collector.metrics()) and m.total("collector_reconnects_total") >= 1, 30)
    harness.wait_until(
        "frames of the second connection",
        lambda: collector.metrics().total("collector_frames_received_total") > 2500, 30)
    assert collector.terminate() == 0
    assert replayer.terminate() == 0
    lines = delivery.read_segments(tmp_path / "out")
    sent = replayer.sent()
    assert len({connection for connection, _, _ in sent}) >= 2
    for symbol in replayer.symbols:
        arrived = [json.loads(line)["tradeId"] for line in lines[oracle.topic("trade", "binance", symbol)]]
        gone = [json.loads(frame)["data"] for _, _, frame in sent]
        gone = [data["t"] for data in gone if data["s"] == symbol]
        # What was still on its way when the collector ended may be missing at the end, and only there.
        assert arrived == gone[:len(arrived)] and len(gone) - len(arrived) < 2000
        told = [json.loads(line) for line in lines.get(oracle.topic("gap", "binance", symbol), [])]
        jumps = [(low + 1, high - 1) for low, high in zip(arrived, arrived[1:]) if high > low + 1]
        assert [(gap["firstMissing"], gap["lastMissing"]) for gap in told] == jumps
        assert all(gap["cause"] == "reconnect" and gap["state"] == "open" for gap in told)
