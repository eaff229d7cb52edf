"""What arrived, by topic, and the comparison with what had to."""

import base64
import json
import re
import subprocess
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

import zstandard

import oracle

SEQUENCE = re.compile(rb'"sequence":(\d+)[,}]')
RECEIVED = re.compile(rb'"receivedTime":(\d+)[,}]')
GAP_END = re.compile(rb'"state":"(\w+)","cause":"(\w+)"\}$')
DEAD_LETTER = re.compile(
    rb'\{"type":"deadletter","exchange":"(?P<exchange>[^"]+)","sequence":(?P<sequence>\d+),'
    rb'"receivedTime":(?P<received>\d+),"reason":"(?P<reason>[^"]+)","offset":(?P<offset>\d+),'
    rb'"frame":"(?P<frame>[A-Za-z0-9+/=]*)"\}')


def number(pattern: re.Pattern, line: bytes) -> int:
    match = pattern.search(line)
    assert match, f"no {pattern.pattern!r} in {line!r}"
    return int(match.group(1))


@dataclass
class Message:
    """A Pub/Sub message as the subscriber got it."""

    topic: str
    id: str
    data: bytes
    attributes: dict[str, str]
    ordering_key: str

    def lines(self) -> list[bytes]:
        """The events in it."""
        encoding = self.attributes.get("content_encoding")
        assert encoding in ("zstd", "identity"), f"{self.topic}: content_encoding {encoding!r}"
        data = zstandard.ZstdDecompressor().decompressobj().decompress(self.data) if encoding == "zstd" else self.data
        if self.attributes.get("content_type") == "application/json":
            assert b"\n" not in data, "a single event with a newline"
            return [data]
        assert self.attributes.get("content_type") == "application/x-ndjson", self.attributes
        assert data.endswith(b"\n"), "the last line is not ended"
        return data[:-1].split(b"\n")


def check_messages(messages: list[Message], collector: str, exchange: str = "binance") -> dict[str, list[bytes]]:
    """Checks order, attributes and batch ids of the messages, in the order of arrival; returns the lines by topic."""
    lines: dict[str, list[bytes]] = defaultdict(list)
    batches: set[str] = set()
    for message in messages:
        attributes, events = message.attributes, message.lines()
        where = f"{message.topic}, message {message.id}"
        type_ = message.topic.split(".")[1]
        assert attributes["schema"] == f"market.{type_}/1", where
        assert attributes["type"] == type_, where
        assert attributes["exchange"] == exchange, where
        assert attributes["collector"] == collector, where
        assert int(attributes["count"]) == len(events), where
        assert attributes["batch_id"] not in batches, f"{where}: batch {attributes['batch_id']} came twice"
        batches.add(attributes["batch_id"])
        first, last = json.loads(events[0]), json.loads(events[-1])
        if type_ == "deadletter":
            assert "symbol" not in attributes, where
        else:
            assert attributes["symbol"] == first["symbol"], where
            assert message.ordering_key == f"{exchange}:{first['symbol']}", where
        assert int(attributes["first_sequence"]) == first["sequence"], where
        assert int(attributes["last_sequence"]) == last["sequence"], where
        assert int(attributes["first_event_time"]) == first.get("eventTime", first["receivedTime"]), where
        assert int(attributes["last_event_time"]) == last.get("eventTime", last["receivedTime"]), where
        allowed = {
            "schema", "type", "exchange", "symbol", "content_type", "content_encoding", "count", "first_sequence",
            "last_sequence", "first_event_time", "last_event_time", "collector", "batch_id",
        }
        assert set(attributes) <= allowed, f"{where}: {set(attributes) - allowed}"
        lines[message.topic] += events
    return dict(lines)


def check_lines(lines: dict[str, list[bytes]], expected: oracle.Expectation, begin: int, end: int) -> int:
    """Compares everything, byte by byte. `begin`, `end`: bounds of plausible receive times, ns. Returns the count."""
    exchange = expected.exchange
    dead_letter_topic = oracle.topic("deadletter", exchange, None)
    missing = set(expected.topics()) - set(lines)
    assert not missing, f"nothing arrived of {sorted(missing)}"
    extra = set(lines) - set(expected.topics())
    assert not extra, f"nobody asked for {sorted(extra)}: {lines[min(extra)][:2]}"
    count = 0
    for topic, actual in lines.items():
        received_before = begin
        wanted = expected.events.get(topic) or expected.gaps.get(topic)
        if topic == dead_letter_topic:
            wanted = expected.dead_letters
        # Two routes are two connections, and gaps of streams on both stand in one topic.
        is_mixed = topic in expected.gaps and exchange == "binance-usdm"
        if is_mixed:
            wanted = in_order_of_arrival(wanted, actual)
        for index, line in enumerate(actual):
            where = f"{topic}, event {index + 1} of {len(actual)}"
            received = number(RECEIVED, line)
            assert number(SEQUENCE, line) == index + 1, f"{where}: {line}"
            assert received_before <= received <= end, f"{where}: receivedTime {received} after {received_before}"
            received_before = begin if is_mixed else received
            assert index < len(wanted), f"{where}: {len(wanted)} were expected; this is too much: {line}"
            want = wanted[index]
            if isinstance(want, oracle.Event):
                line_wanted = want.line(exchange, index + 1, received)
            elif isinstance(want, oracle.GapEvent):
                match = GAP_END.search(line)
                assert match, f"{where}: {line!r}"
                state, cause = match.groups()
                line_wanted = want.line(exchange, index + 1, received, state.decode(), cause.decode())
                assert state.decode() == want.state, where
                assert cause.decode() in want.causes, where
            else:
                check_dead_letter(line, want, exchange)
                line_wanted = line
            assert line == line_wanted, f"{where}\n  arrived  {line!r}\n  expected {line_wanted!r}"
        assert len(actual) == len(wanted), f"{topic}: {len(actual)} events arrived, {len(wanted)} were expected"
        count += len(actual)
    return count


def in_order_of_arrival(wanted: list[oracle.GapEvent], actual: list[bytes]) -> list[oracle.GapEvent]:
    """The expected gaps, those of each type in their order, the types as they arrived; what did not arrive last."""
    waiting = {type_: [gap for gap in wanted if gap.of == type_] for type_ in {gap.of for gap in wanted}}
    result = []
    for line in actual:
        type_ = json.loads(line).get("of")
        if waiting.get(type_):
            result.append(waiting[type_].pop(0))
    return result + [gap for gaps in waiting.values() for gap in gaps]


def check_dead_letter(line: bytes, frame: bytes, exchange: str):
    match = DEAD_LETTER.fullmatch(line)
    assert match, f"no dead letter of the contract: {line!r}"
    assert match["exchange"].decode() == exchange
    assert base64.b64decode(match["frame"], validate=True) == frame, "the frame's bytes differ"
    assert int(match["offset"]) <= len(frame)


def read_segments(directory: Path) -> dict[str, list[bytes]]:
    """Everything that a file sink wrote, by topic and in its order, read with zstdcat as a user would."""
    lines: dict[str, list[bytes]] = defaultdict(list)
    for path in sorted(directory.rglob("*")):
        if not path.is_file() or path.stat().st_size == 0 or path.name.endswith(".index"):
            continue
        if path.name.endswith(".zst"):
            data = subprocess.run(["zstdcat", "-q", path], check=True, capture_output=True).stdout
        else:
            data = path.read_bytes()
        for line in data.splitlines():
            head = json.loads(line)
            lines[oracle.topic(head["type"], head["exchange"], head.get("symbol"))].append(line)
    return dict(lines)
