"""The oracle itself, against lines written out by hand from the message contract."""

import pytest

import delivery
import oracle


def only(frame: bytes) -> oracle.Event:
    (event,) = oracle.read(frame).events
    return event


def test_trade_is_the_contracts_own_example():
    frame = (
        b'{"e":"trade","E":1672515782136,"s":"BTCUSDT","t":12345,"p":"0.001","q":"100","T":1672515782136,'
        b'"m":true,"M":true}'
    )
    assert only(frame).line("binance", 1, 1672515782140123456) == (
        b'{"type":"trade","exchange":"binance","symbol":"BTCUSDT","sequence":1,"eventTime":1672515782136000000,'
        b'"receivedTime":1672515782140123456,"tradeId":12345,"price":"0.001","quantity":"100",'
        b'"tradeTime":1672515782136000000,"aggressor":"sell"}'
    )


def test_book_ticker_has_no_event_time_and_keeps_its_zeros():
    frame = (
        b'{"stream":"x@bookTicker","data":{"u":400900217,"s":"BNBUSDT","b":"25.35190000","B":"31.21000000",'
        b'"a":"25.36520000","A":"40.66000000"}}'
    )
    assert only(frame).line("binance", 7, 5) == (
        b'{"type":"bookTicker","exchange":"binance","symbol":"BNBUSDT","sequence":7,"receivedTime":5,'
        b'"updateId":400900217,"bid":"25.35190000","bidQuantity":"31.21000000","ask":"25.36520000",'
        b'"askQuantity":"40.66000000"}'
    )


def test_futures_say_how_a_trade_came_about_and_whose_row_it_is():
    frame = (
        b'{"e":"trade","E":1790371725749,"T":1790371725748,"s":"DOGEUSDT","t":3488255295,"p":"0","q":"0","X":"%s",'
        b'"m":true,"st":1}'
    )
    (event,) = oracle.read(frame % b"NA", "binance-usdm").events
    assert event.line("binance-usdm", 1, 2) == (
        b'{"type":"trade","exchange":"binance-usdm","symbol":"DOGEUSDT","sequence":1,"eventTime":1790371725749000000,'
        b'"receivedTime":2,"tradeId":3488255295,"price":"0","quantity":"0","tradeTime":1790371725748000000,'
        b'"aggressor":"sell","execution":"NA"}'
    )
    (event,) = oracle.read(frame % b"MARKET", "binance-usdm").events
    assert "execution" not in dict(event.after)
    reading = oracle.read(frame % b"MARKET", "binance-coinm")
    assert reading.ignored and not reading.events
    with pytest.raises(oracle.Unreadable):
        oracle.read(frame % b"no word", "binance-usdm")


def test_mark_price_leaves_out_what_was_not_sent():
    frame = b'{"e":"markPriceUpdate","E":1,"s":"BTCUSD_220624","p":"29996.97713232","P":"29910.05037677","r":"","T":0}'
    (event,) = oracle.read(frame, "binance-coinm").events
    assert event.line("binance-coinm", 3, 4) == (
        b'{"type":"markPrice","exchange":"binance-coinm","symbol":"BTCUSD_220624","sequence":3,"eventTime":1000000,'
        b'"receivedTime":4,"markPrice":"29996.97713232","settlementPrice":"29910.05037677","nextFundingTime":0}'
    )


def test_kline_without_trades():
    frame = (
        b'{"e":"kline","E":1,"s":"AB","k":{"t":2,"T":3,"s":"AB","i":"1m","f":-1,"L":-1,"o":"4.0","c":"5","h":"6",'
        b'"l":"7","v":"8","n":0,"x":true,"q":"9","V":"10","Q":"11","B":"0"}}'
    )
    assert only(frame).line("binance", 1, 2) == (
        b'{"type":"kline","exchange":"binance","symbol":"AB","sequence":1,"eventTime":1000000,"receivedTime":2,'
        b'"interval":"1m","openTime":2000000,"closeTime":3000000,"open":"4.0","high":"6","low":"7","close":"5",'
        b'"volume":"8","quoteVolume":"9","takerBuyVolume":"10","takerBuyQuoteVolume":"11","tradeCount":0,'
        b'"firstTradeId":-1,"lastTradeId":-1,"closed":true}'
    )


def test_rolling_ticker_leaves_out_what_was_not_sent():
    frame = (
        b'{"e":"1hTicker","E":1,"s":"AB","p":"-1.5","P":"2","o":"3","h":"4","l":"5","c":"6","w":"7","v":"8","q":"9",'
        b'"O":0,"C":10,"F":0,"L":11,"n":12}'
    )
    assert only(frame).line("binance", 1, 2) == (
        b'{"type":"ticker","exchange":"binance","symbol":"AB","sequence":1,"eventTime":1000000,"receivedTime":2,'
        b'"window":"1h","openTime":0,"closeTime":10000000,"open":"3","high":"4","low":"5","last":"6","change":"-1.5",'
        b'"changePercent":"2","weightedAverage":"7","volume":"8","quoteVolume":"9","tradeCount":12,'
        b'"firstTradeId":0,"lastTradeId":11}'
    )


def test_average_price():
    frame = b'{"e":"avgPrice","E":1693907033000,"s":"BTCUSDT","i":"5m","w":"25776.86000000","T":1693907032213}'
    assert only(frame).line("binance", 1, 2) == (
        b'{"type":"averagePrice","exchange":"binance","symbol":"BTCUSDT","sequence":1,'
        b'"eventTime":1693907033000000000,"receivedTime":2,"interval":"5m","price":"25776.86000000",'
        b'"tradeTime":1693907032213000000}'
    )


def test_arrays_depth_and_answers():
    mini = b'{"e":"24hrMiniTicker","E":1,"s":"%s","c":"1","o":"2","h":"3","l":"4","v":"5","q":"6"}'
    reading = oracle.read(b"[" + mini % b"A" + b"," + mini % b"B" + b"]")
    assert [event.symbol for event in reading.events] == ["A", "B"]
    assert oracle.read(b'{"stream":"a@depth","data":{"e":"depthUpdate","E":1,"s":"A"}}').ignored
    assert oracle.read(b'{"result":null,"id":3}').answer


@pytest.mark.parametrize(
    "frame",
    [b"", b"{", b'{"e":"trade","E":1', b"hello", b'{"e":"trade","E":"x","s":"A"}', b'{"e":"other","s":"A"}', b"\xff"],
)
def test_unreadable(frame):
    with pytest.raises(oracle.Unreadable):
        oracle.read(frame)


def test_gaps_follow_ids_by_kind_and_symbol():
    trade = b'{"e":"trade","E":1,"s":"%s","t":%d,"p":"1","q":"2","T":1,"m":false}'
    numbers = [(b"A", 5), (b"B", 90), (b"A", 6), (b"A", 9), (b"A", 3), (b"A", 10), (b"B", 91), (b"A", 12)]
    expected = oracle.expect([trade % pair for pair in numbers])
    gaps = expected.gaps["market.gap.binance.A"]
    assert [(gap.of, gap.first_missing, gap.last_missing) for gap in gaps] == [("trade", 7, 8), ("trade", 11, 11)]
    assert list(expected.gaps) == ["market.gap.binance.A"]
    assert len(expected.events["market.trade.binance.A"]) == 6


def test_topics_are_percent_encoded():
    assert oracle.topic("trade", "binance", "币USDT") == "market.trade.binance.%E5%B8%81USDT"
    assert oracle.topic("deadletter", "binance", None) == "market.deadletter.binance"


def test_the_comparison_sees_what_is_lost_doubled_swapped_or_changed():
    trade = b'{"e":"trade","E":1,"s":"A","t":%d,"p":"1.0","q":"2","T":1,"m":false}'
    expected = oracle.expect([trade % number for number in range(1, 6)])
    (topic,) = expected.events
    whole = [event.line("binance", index + 1, 50 + index) for index, event in enumerate(expected.events[topic])]
    assert delivery.check_lines({topic: whole}, expected, 0, 100) == 5
    wrong = {
        "lost": whole[:2] + whole[3:],
        "lost at the end": whole[:-1],
        "doubled": whole[:2] + whole[1:],
        "swapped": [whole[1], whole[0], *whole[2:]],
        "a digit": [whole[0].replace(b'"1.0"', b'"1.00"'), *whole[1:]],
        "white space": [whole[0].replace(b":1,", b": 1,", 1), *whole[1:]],
        "time runs back": [*whole[:4], expected.events[topic][4].line("binance", 5, 51)],
    }
    for lines in wrong.values():
        with pytest.raises(AssertionError):
            delivery.check_lines({topic: lines}, expected, 0, 100)
    with pytest.raises(AssertionError):
        delivery.check_lines({}, expected, 0, 100)
    with pytest.raises(AssertionError):
        delivery.check_lines({topic: whole, "market.depth.binance.A": [b"{}"]}, expected, 0, 100)


def trade(number: int, trade_time: int = 1000) -> bytes:
    return (
        f'{{"e":"trade","E":{trade_time},"s":"A","t":{number},"p":"1","q":"1","T":{trade_time},"m":true,"M":true}}'
    ).encode()


def told(frames) -> tuple[list[int], list[tuple]]:
    """Ids that must be published, and what must be said of those that are missing."""
    expected = oracle.expect(frames)
    events = expected.events["market.trade.binance.A"]
    gaps = expected.gaps.get("market.gap.binance.A", [])
    return (
        [int(dict(event.after)["tradeId"]) for event in events],
        [(gap.first_missing, gap.last_missing, gap.state, gap.causes) for gap in gaps],
    )


OPEN = ("sequence", "reconnect")


def test_a_repeat_is_what_was_published_and_nothing_else():
    assert told(map(trade, [5, 6, 5, 6, 7])) == ([5, 6, 7], [])
    # Below the first id, and in a hole: late, and no repeat until it comes again.
    assert told(map(trade, [5, 4, 9, 7, 7, 4])) == (
        [5, 4, 9, 7], [(6, 8, "open", OPEN), (7, 7, "repaired", ("sequence",))])


def test_a_new_count_is_told_by_its_time():
    frames = [trade(500), trade(501), trade(3, 9000), trade(4, 9001), trade(3, 9000), trade(501), trade(502, 1000)]
    assert told(frames) == ([500, 501, 3, 4, 502], [(0, 2, "open", ("restart",))])
    # A millisecond newer is late, a second is a new count; a known id needs no margin.
    assert told([trade(500), trade(499, 1001)]) == ([500, 499], [])
    assert told([trade(500), trade(500, 1001)]) == ([500, 500], [(0, 499, "open", ("restart",))])


def test_bars_and_prices_are_known_by_their_identity():
    def kline(open_time, event_time, closed):
        return (
            f'{{"e":"kline","E":{event_time},"s":"A","k":{{"t":{open_time},"T":{open_time + 9},"s":"A","i":"1s",'
            f'"f":1,"L":1,"o":"1","c":"1","h":"1","l":"1","v":"1","n":1,"x":{closed},"q":"1","V":"1","Q":"1"}}}}'
        ).encode()

    frames = [
        kline(10, 20, "false"), kline(0, 20, "true"), kline(0, 20, "true"), kline(0, 20, "false"),
        kline(10, 20, "false"),
    ]
    expected = oracle.expect(frames)
    assert len(expected.events["market.kline.binance.A"]) == 3
    assert expected.duplicates == 2
    price = '{{"u":{},"s":"A","b":"1","B":"1","a":"1","A":"1"}}'
    expected = oracle.expect([price.format(number).encode() for number in (5, 9, 7, 9, 5)])
    assert len(expected.events["market.bookTicker.binance.A"]) == 3
