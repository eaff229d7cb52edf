"""Binance's futures: every recorded frame through replayer, TLS, collector and file sink; a synthesised market; rows of
the other market."""

import json
import time

import pytest

import delivery
import feeds
import harness
import oracle

# The least that the recordings come to, frames.
RECORDED = {"usdm": 320_000, "coinm": 60_000}


def play(programs, market, directory, arguments, streams, connections, **more):
    """Plays a feed through to the segments and compares. Returns what was expected and the last metrics."""
    replayer = programs.replayer(*arguments, "--market", market, "--start-after-streams", len(streams))
    begin = time.time_ns()
    collector = programs.collector(
        [harness.exchange(
            replayer.endpoint, replayer.authority, feeds.subscriptions(streams, market), market=market)],
        {"type": "file", "path": str(directory)}, **more)
    metrics = collector.wait_quiet()
    assert metrics.total("collector_connections") >= connections
    assert collector.terminate() == 0, collector.log()[-3000:]
    assert replayer.terminate() == 0
    sent = replayer.sent()
    assert len({connection for connection, _, _ in sent}) == connections
    expected = oracle.expect([frame for _, _, frame in sent], f"binance-{market}")
    count = delivery.check_lines(delivery.read_segments(directory), expected, begin, time.time_ns())
    assert count == expected.total > 0
    return expected, metrics


@pytest.mark.parametrize("market", ["usdm", "coinm"])
def test_every_recorded_frame_stands_in_the_segments(programs, tmp_path, market):
    files = feeds.files(market)
    if not files:
        pytest.skip(f"no recorded feeds in {harness.FEEDS}; set RECORDED_FEEDS")
    streams: dict[str, None] = {}
    count = 0
    for path in files:
        for frame in feeds.frames(path):
            stream = feeds.stream_of(frame)
            if stream and (stream in streams or feeds.subscriptions([stream], market)):
                streams[stream] = None
                count += 1
    arguments = [argument for path in files for argument in ("--feed", path)]
    expected, metrics = play(
        programs, market, tmp_path / "out", [*arguments, "--pace", "max"], list(streams),
        2 if market == "usdm" else 1)
    assert expected.frames == count, "the replayer sent other frames than the recordings hold"
    assert not expected.dead_letters
    assert expected.frames > RECORDED[market]
    types = {topic.split(".")[1] for topic in expected.events}
    assert types == {"trade", "aggTrade", "kline", "ticker", "miniTicker", "bookTicker", "markPrice"}
    assert metrics.total("collector_events_published_total") == expected.total
    assert metrics.total("collector_events_duplicate_total") == expected.duplicates
    print(f"{market}: {expected.frames} frames, {expected.total} events, {len(expected.topics())} topics")


@pytest.mark.parametrize("market", ["usdm", "coinm"])
def test_a_synthesised_market_of_every_type(programs, tmp_path, market):
    suffixes = ("trade", "aggTrade", "kline_1m", "ticker", "miniTicker", "bookTicker", "markPrice@1s")
    symbols = harness.SYMBOLS[:4]
    if market == "coinm":
        symbols = [symbol.removesuffix("T") + "_PERP" for symbol in symbols]
    streams = [f"{symbol.lower()}@{suffix}" for symbol in symbols for suffix in suffixes]
    mix = "trade=30,aggTrade=20,kline=10,ticker=10,miniTicker=10,bookTicker=10,markPrice=10"
    expected, _ = play(
        programs, market, tmp_path / "out",
        ["--synthetic", "--symbols", 4, "--seed", 5, "--mix", mix, "--pace", "rate=5000", "--messages", 10_000],
        streams, 2 if market == "usdm" else 1)
    assert expected.frames == 10_000
    assert not expected.gaps and not expected.dead_letters
    types = ("trade", "aggTrade", "kline", "ticker", "miniTicker", "bookTicker", "markPrice")
    assert set(expected.events) == {
        oracle.topic(type_, f"binance-{market}", symbol) for symbol in symbols for type_ in types}


def odd_frames(market: str) -> list[str]:
    """Rows of both markets and of none, executions of all kinds, prices of 0, keys in other orders."""
    own, other = (1, 2) if market == "usdm" else (2, 1)
    frames = []
    for number in range(1, 101):
        rows = [
            {"e": "markPriceUpdate", "E": 1791382992000 + number, "s": symbol, "p": f"{number}.50000000", "ap": "1.0",
             "P": "0", "i": "2.00", "r": rate, "T": funding, **({"st": system} if system else {})}
            for symbol, system, rate, funding in (
                ("OWN", own, "-0.00001012", 1791388800000), ("OTHER", other, "0.0", 1), ("UNSAID", None, "", 0),
                ("NEITHER", 3, "0.0", 1))
        ]
        word = ("MARKET", "NA", "INSURANCE_FUND", "ADL", "RPI", "NEW_ONE")[number % 6]
        trade = {
            "e": "trade", "E": 1790371725749, "T": 1790371725748, "s": "OWN", "t": number, "p": "0", "q": "0",
            "X": word, "m": number % 2 == 0, "st": own,
        }
        if number % 5 == 0:
            trade = dict(reversed(trade.items()))
        for stream, data in (("!markPrice@arr@1s", rows), ("own@trade", trade)):
            frames.append(json.dumps({"stream": stream, "data": data}, separators=(",", ":")))
    return frames


@pytest.mark.parametrize("market", ["usdm", "coinm"])
def test_rows_of_the_other_market_never_come_under_the_wrong_name(programs, tmp_path, market):
    feed = tmp_path / "odd.ndjson"
    feed.write_text("\n".join(odd_frames(market)) + "\n")
    expected, metrics = play(
        programs, market, tmp_path / "out", ["--feed", feed, "--pace", "max"], ["!markPrice@arr@1s", "own@trade"],
        2 if market == "usdm" else 1)
    exchange = f"binance-{market}"
    assert set(expected.events) == {
        oracle.topic("markPrice", exchange, "OWN"), oracle.topic("markPrice", exchange, "UNSAID"),
        oracle.topic("trade", exchange, "OWN"),
    }
    assert not expected.gaps and expected.total == 300
    trades = [dict(event.after) for event in expected.events[oracle.topic("trade", exchange, "OWN")]]
    assert {trade.get("execution") for trade in trades} == {
        None, '"NA"', '"INSURANCE_FUND"', '"ADL"', '"RPI"', '"NEW_ONE"'}
