"""An independent reading of Binance's frames, spot and futures, into the lines of the message contract.

It shares nothing with the project's parsers: Python's own JSON reader does the work, with numbers kept as text, so
that no digit passes through a float. What it cannot foresee (the sequence and the receive time) it takes from the
event that it is compared with; those two have rules of their own, checked elsewhere.
"""

import collections
import json
import re
from dataclasses import dataclass, field


class Number(str):
    """A JSON number as it was written."""


class Unreadable(Exception):
    """The frame is not market data of a known shape."""


@dataclass
class Event:
    """One expected event: its topic's parts and its fields, in order, as JSON texts."""

    type: str
    symbol: str
    event_time: int | None  # ns; None where the exchange sends none
    before: list[tuple[str, str]]  # up to and with the symbol
    after: list[tuple[str, str]]  # behind receivedTime

    def line(self, exchange: str, sequence: int, received_time: int) -> bytes:
        """The exact bytes, without the newline."""
        fields = [("type", quoted(self.type)), ("exchange", quoted(exchange)), ("symbol", quoted(self.symbol))]
        fields.append(("sequence", str(sequence)))
        fields += self.before
        fields.append(("receivedTime", str(received_time)))
        fields += self.after
        return ("{" + ",".join(f'"{key}":{value}' for key, value in fields) + "}").encode()


@dataclass
class Reading:
    """What one frame becomes."""

    events: list[Event] = field(default_factory=list)
    ignored: bool = False  # data of a kind that nobody asked for
    answer: bool = False  # an answer to a request of ours


def quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def decimal(value) -> str:
    """A decimal of the exchange, which is a string on the wire, exactly as it was written."""
    if isinstance(value, Number) or not isinstance(value, str):
        raise Unreadable(f"decimal is no string: {value!r}")
    if not re.fullmatch(r"-?[0-9]+(\.[0-9]+)?", value):
        raise Unreadable(f"decimal is not plain digits: {value!r}")
    return f'"{value}"'


def integer(value) -> str:
    if not isinstance(value, Number) or not re.fullmatch(r"-?[0-9]+", value):
        raise Unreadable(f"no integer: {value!r}")
    return str(int(value))


def time(value) -> str:
    """Milliseconds on the wire, nanoseconds in the contract."""
    return str(int(integer(value)) * 1_000_000)


def flag(value) -> str:
    if not isinstance(value, bool):
        raise Unreadable(f"no flag: {value!r}")
    return "true" if value else "false"


def aggressor(value) -> str:
    """`m`: the buyer is the maker, so the taker sold."""
    return '"sell"' if flag(value) == "true" else '"buy"'


def text(value) -> str:
    if isinstance(value, Number) or not isinstance(value, str):
        raise Unreadable(f"no text: {value!r}")
    return quoted(value)


def decimal_or_nothing(value) -> str | None:
    """Contracts that expire have no funding rate, and say so with an empty text."""
    return None if value == "" else decimal(value)


def execution(value) -> str | None:
    """How a trade of futures came about; of the ordinary ones nothing is said."""
    word = text(value)
    if not re.fullmatch(r'"[A-Za-z0-9_-]{0,24}"', word):
        raise Unreadable(f"no word: {value!r}")
    return None if word in ('"MARKET"', '""') else word


# (name in the contract, key on the wire, reader), in the order of the contract. A reader's None is absence.
TRADE = [
    ("tradeId", "t", integer), ("price", "p", decimal), ("quantity", "q", decimal), ("tradeTime", "T", time),
    ("aggressor", "m", aggressor),
]
FUTURES_TRADE = [*TRADE, ("execution", "X", execution)]
AGG_TRADE = [
    ("aggregateId", "a", integer), ("price", "p", decimal), ("quantity", "q", decimal),
    ("firstTradeId", "f", integer), ("lastTradeId", "l", integer), ("tradeTime", "T", time),
    ("aggressor", "m", aggressor),
]
KLINE = [
    ("interval", "i", text), ("openTime", "t", time), ("closeTime", "T", time), ("open", "o", decimal),
    ("high", "h", decimal), ("low", "l", decimal), ("close", "c", decimal), ("volume", "v", decimal),
    ("quoteVolume", "q", decimal), ("takerBuyVolume", "V", decimal), ("takerBuyQuoteVolume", "Q", decimal),
    ("tradeCount", "n", integer), ("firstTradeId", "f", integer), ("lastTradeId", "L", integer),
    ("closed", "x", flag),
]
TICKER = [
    ("openTime", "O", time), ("closeTime", "C", time), ("open", "o", decimal), ("high", "h", decimal),
    ("low", "l", decimal), ("last", "c", decimal), ("lastQuantity", "Q", decimal), ("previousClose", "x", decimal),
    ("change", "p", decimal), ("changePercent", "P", decimal), ("weightedAverage", "w", decimal),
    ("bid", "b", decimal), ("bidQuantity", "B", decimal), ("ask", "a", decimal), ("askQuantity", "A", decimal),
    ("volume", "v", decimal), ("quoteVolume", "q", decimal), ("tradeCount", "n", integer),
    ("firstTradeId", "F", integer), ("lastTradeId", "L", integer),
]
MINI_TICKER = [
    ("open", "o", decimal), ("high", "h", decimal), ("low", "l", decimal), ("last", "c", decimal),
    ("volume", "v", decimal), ("quoteVolume", "q", decimal),
]
BOOK_TICKER = [
    ("updateId", "u", integer), ("bid", "b", decimal), ("bidQuantity", "B", decimal), ("ask", "a", decimal),
    ("askQuantity", "A", decimal),
]
AVERAGE_PRICE = [("interval", "i", text), ("price", "w", decimal), ("tradeTime", "T", time)]
MARK_PRICE = [
    ("markPrice", "p", decimal), ("indexPrice", "i", decimal_or_nothing), ("settlementPrice", "P", decimal_or_nothing),
    ("fundingRate", "r", decimal_or_nothing), ("nextFundingTime", "T", time),
    ("averageMarkPrice", "ap", decimal_or_nothing),
]

SHAPES = {
    "trade": ("trade", TRADE),
    "aggTrade": ("aggTrade", AGG_TRADE),
    "24hrTicker": ("ticker", TICKER),
    "1hTicker": ("ticker", TICKER),
    "4hTicker": ("ticker", TICKER),
    "1dTicker": ("ticker", TICKER),
    "24hrMiniTicker": ("miniTicker", MINI_TICKER),
    "avgPrice": ("averagePrice", AVERAGE_PRICE),
    "markPriceUpdate": ("markPrice", MARK_PRICE),
}
# What rows of each kind of futures say in `st`: all-market streams of the one hold rows of the other.
SYSTEMS = {"binance-usdm": "1", "binance-coinm": "2"}
WINDOWS = {"24hrTicker": "24h", "1hTicker": "1h", "4hTicker": "4h", "1dTicker": "1d"}
IGNORED = {"depthUpdate", "blockTrade", "referencePrice"}


def fields_of(data: dict, shape) -> list[tuple[str, str]]:
    """The contract's fields; one that the exchange did not send is absent."""
    fields = [(name, read(data[key])) for name, key, read in shape if key in data]
    return [(name, value) for name, value in fields if value is not None]


def read_object(data: dict, exchange: str) -> Event | None:
    """One object of market data; None where it is of a kind that the collector was not asked for, or of another
    market."""
    kind = data.get("e")
    system = SYSTEMS.get(exchange)
    if system and "st" in data and integer(data["st"]) != system:
        return None
    if kind is None and "lastUpdateId" in data:
        return None
    if kind in IGNORED:
        return None
    if kind is None or kind == "bookTicker":
        if not {"u", "s", "b", "B", "a", "A"} <= data.keys():
            raise Unreadable("neither an event type nor a best price")
        type_, after = "bookTicker", fields_of(data, BOOK_TICKER)
    elif kind == "kline":
        if not isinstance(data.get("k"), dict):
            raise Unreadable("a kline without bar")
        type_, after = "kline", fields_of(data["k"], KLINE)
    elif kind in SHAPES:
        type_, shape = SHAPES[kind]
        after = fields_of(data, FUTURES_TRADE if system and kind == "trade" else shape)
        if kind in WINDOWS:
            after.insert(0, ("window", quoted(WINDOWS[kind])))
    else:
        raise Unreadable(f"an unknown event type: {kind}")
    symbol = data.get("s")
    if not isinstance(symbol, str) or isinstance(symbol, Number) or not symbol:
        raise Unreadable("no symbol")
    before = [("eventTime", time(data["E"]))] if "E" in data else []
    return Event(type_, symbol, int(before[0][1]) if before else None, before, after)


def read(frame: bytes, exchange: str = "binance") -> Reading:
    """Reads one frame. Raises Unreadable where it must become a dead letter."""
    try:
        value = json.loads(frame.decode("utf-8"), parse_int=Number, parse_float=Number)
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise Unreadable(f"no JSON: {error}") from None
    if isinstance(value, dict) and ("result" in value or "id" in value or "error" in value) and "e" not in value:
        return Reading(answer=True)
    data = value["data"] if isinstance(value, dict) and "stream" in value and "data" in value else value
    items = data if isinstance(data, list) else [data]
    reading = Reading()
    for item in items:
        if not isinstance(item, dict):
            raise Unreadable("not an object")
        event = read_object(item, exchange)
        if event is None:
            reading.ignored = True
        else:
            reading.events.append(event)
    return reading


@dataclass
class GapEvent:
    """A hole in the ids of one symbol, or its repair."""

    symbol: str
    of: str
    first_missing: int
    last_missing: int
    state: str = "open"
    causes: tuple[str, ...] = ("sequence", "reconnect")

    def line(self, exchange: str, sequence: int, received_time: int, state: str, cause: str) -> bytes:
        return (
            f'{{"type":"gap","exchange":{quoted(exchange)},"symbol":{quoted(self.symbol)},"sequence":{sequence},'
            f'"receivedTime":{received_time},"of":"{self.of}","firstMissing":{self.first_missing},'
            f'"lastMissing":{self.last_missing},"state":"{state}","cause":"{cause}"}}'
        ).encode()


class Memory:
    """What one connection's events come to: which are repeats, and what is missing between them.

    A repeat is what was published before, proved by the very identity: nothing else may be dropped. Here that is a
    plain set of everything that came, where the collector remembers as little as it can.
    """

    IDS = {"trade": "tradeId", "aggTrade": "aggregateId"}
    # How many are remembered of a symbol, type and interval or window.
    REMEMBERED = {"bookTicker": 1024}
    RESTART_MARGIN = 1_000_000_000

    @dataclass
    class Count:
        """The ids of one symbol and type since the exchange began to count."""

        published: set[int] = field(default_factory=set)
        first: int | None = None
        highest: int = 0
        newest: int = 0
        earlier: "Memory.Count | None" = None

    def __init__(self):
        self.counts: dict[tuple[str, str], Memory.Count] = {}
        self.recent: dict[tuple, collections.deque] = {}

    def admit(self, event: Event) -> tuple[bool, GapEvent | None]:
        """Whether the event is to be published, and the gap event that goes with it."""
        values = dict(event.after)
        if event.type in self.IDS:
            return self.follow(event, int(values[self.IDS[event.type]]), int(values.get("tradeTime", -1)))
        # An update id tells all of a best price; of everything else the time and all figures must agree.
        if event.type == "bookTicker":
            identity = (values["updateId"],)
        elif event.event_time is None:
            return True, None
        else:
            identity = (event.event_time, *event.after)
        key = (event.type, event.symbol, values.get("interval"), values.get("window"))
        if event.type == "averagePrice":
            key = (event.type, event.symbol)
        known = self.recent.setdefault(key, collections.deque(maxlen=self.REMEMBERED.get(event.type, 32)))
        if identity in known:
            return False, None
        known.append(identity)
        return True, None

    def follow(self, event: Event, number: int, trade_time: int) -> tuple[bool, GapEvent | None]:
        key = (event.type, event.symbol)
        count = self.counts.setdefault(key, self.Count())
        if count.first is None:
            count.first = count.highest = number
            count.newest = trade_time
            count.published.add(number)
            return True, None
        if number > count.highest:
            if count.earlier and trade_time <= count.earlier.newest:
                return number not in count.earlier.published, None
            first_missing = count.highest + 1
            count.published.add(number)
            count.highest, count.newest = number, max(count.newest, trade_time)
            if number == first_missing:
                return True, None
            return True, GapEvent(event.symbol, event.type, first_missing, number - 1)
        is_known = number in count.published
        if trade_time > count.newest + (0 if is_known else self.RESTART_MARGIN):
            # The exchange counts anew: the ids from 0 are missing.
            self.counts[key] = self.Count({number}, number, number, trade_time, count)
            return True, GapEvent(event.symbol, event.type, 0, number - 1, "open", ("restart",))
        if is_known:
            return False, None
        count.published.add(number)
        if number < count.first:
            return True, None
        return True, GapEvent(event.symbol, event.type, number, number, "repaired", ("sequence",))


TOPIC_BYTES = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.~+")


def topic(type_: str, exchange: str, symbol: str | None) -> str:
    """The default layout of topics, with the bytes that Pub/Sub forbids, and the sign itself, percent-encoded."""
    plain = f"market.{type_}.{exchange}" + (f".{symbol}" if symbol is not None else "")
    return "".join(chr(byte) if byte in TOPIC_BYTES else f"%{byte:02X}" for byte in plain.encode())


@dataclass
class Expectation:
    """What must arrive, by topic, in order."""

    exchange: str = "binance"
    events: dict[str, list[Event]] = field(default_factory=dict)
    gaps: dict[str, list[GapEvent]] = field(default_factory=dict)
    dead_letters: list[bytes] = field(default_factory=list)
    frames: int = 0
    ignored: int = 0
    duplicates: int = 0

    @property
    def total(self) -> int:
        """All messages' events together."""
        counts = [len(items) for table in (self.events, self.gaps) for items in table.values()]
        return sum(counts) + len(self.dead_letters)

    def topics(self) -> list[str]:
        names = [*self.events, *self.gaps]
        return names + ([topic("deadletter", self.exchange, None)] if self.dead_letters else [])


def expect(frames, exchange: str = "binance") -> Expectation:
    """Reads frames, in the order in which they were sent, into what the collector must publish."""
    result = Expectation(exchange)
    memory = Memory()
    for frame in frames:
        result.frames += 1
        try:
            reading = read(frame, exchange)
        except Unreadable:
            result.dead_letters.append(frame)
            continue
        result.ignored += reading.ignored
        for event in reading.events:
            is_published, gap = memory.admit(event)
            if not is_published:
                result.duplicates += 1
                continue
            if gap is not None:
                result.gaps.setdefault(topic("gap", exchange, gap.symbol), []).append(gap)
            result.events.setdefault(topic(event.type, exchange, event.symbol), []).append(event)
    return result
