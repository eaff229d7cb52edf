"""One message as it came, and the events in it."""

import json
from dataclasses import dataclass
from pathlib import Path

import zstandard


class UnreadableMessage(Exception):
    """A message that does not follow the contract; the text says where, and what to do."""


class Dictionaries:
    """zstd dictionaries by their id: those of the attribute `dictionary`."""

    def __init__(self, *files: str | Path):
        self._decompressors: dict[int, zstandard.ZstdDecompressor] = {}
        for file in files:
            self.add(Path(file).read_bytes())

    def add(self, content: bytes):
        """A dictionary as `exchange-collector train-dictionary` writes it."""
        dictionary = zstandard.ZstdCompressionDict(content)
        if not dictionary.dict_id():
            raise ValueError("this is no zstd dictionary with an id; give a file of train-dictionary")
        self._decompressors[dictionary.dict_id()] = zstandard.ZstdDecompressor(dict_data=dictionary)

    def decompressor(self, identity: int) -> zstandard.ZstdDecompressor | None:
        """What reads frames of that dictionary; None where it is not known."""
        return self._decompressors.get(identity)


# No batch is longer unpacked; what claims more is corrupt.
LONGEST = 256 << 20
_GAP_KEYS = {"exchange", "of", "firstMissing", "lastMissing", "state", "cause"}
_PLAIN = zstandard.ZstdDecompressor()


@dataclass(frozen=True)
class Message:
    """What a subscription delivers."""

    data: bytes
    attributes: dict[str, str]
    ordering_key: str = ""

    def attribute(self, name: str) -> str:
        """An attribute that every message has."""
        try:
            return self.attributes[name]
        except KeyError:
            raise UnreadableMessage(
                f"there is no attribute {name!r}; is this topic written by exchange-collector?") from None

    def number(self, name: str) -> int:
        """The same as an integer."""
        text = self.attribute(name)
        if not text.isdecimal():
            raise UnreadableMessage(f"attribute {name!r} is {text!r} instead of a number")
        return int(text)

    @property
    def run(self) -> str:
        """Names the process that published it: the first half of the batch id, and the collector."""
        return f"{self.attribute('collector')}/{self.attribute('batch_id').partition('-')[0]}"

    def content(self, dictionaries: Dictionaries | None = None) -> bytes:
        """The data, unpacked."""
        encoding = self.attribute("content_encoding")
        if encoding == "identity":
            return self.data
        if encoding != "zstd":
            raise UnreadableMessage(f"content_encoding {encoding!r} is unknown; update this module")
        decompressor = _PLAIN
        if identity := self.attributes.get("dictionary"):
            found = dictionaries.decompressor(int(identity)) if dictionaries and identity.isdecimal() else None
            if found is None:
                raise UnreadableMessage(f"zstd dictionary {identity} is not here; add its file to Dictionaries")
            decompressor = found
        try:
            size = zstandard.frame_content_size(self.data)
            if size > LONGEST:
                raise UnreadableMessage(f"the zstd frame claims {size} bytes; the message is corrupt")
            return decompressor.decompress(self.data, max_output_size=LONGEST)
        except zstandard.ZstdError as error:
            raise UnreadableMessage(f"corrupt zstd data: {error}") from None

    def lines(self, dictionaries: Dictionaries | None = None) -> list[bytes]:
        """The JSON of each event, as published."""
        content = self.content(dictionaries)
        lines = content.removesuffix(b"\n").split(b"\n")
        count = self.number("count")
        if len(lines) != count:
            raise UnreadableMessage(f"{len(lines)} events instead of the {count} of the attribute; the data are cut")
        return lines

    def events(self, dictionaries: Dictionaries | None = None) -> list[dict]:
        """The events: decimals are strings with every digit, times are integers, ns since the epoch."""
        try:
            events = [json.loads(line) for line in self.lines(dictionaries)]
        except ValueError as error:
            raise UnreadableMessage(f"not JSON: {error}") from None
        first = self.number("first_sequence")
        for index, event in enumerate(events):
            if not isinstance(event, dict) or not isinstance(event.get("sequence"), int):
                raise UnreadableMessage("an event without sequence")
            # Of one key a batch may leave out sequences that went to other keys of a coarse topic.
            if event["sequence"] < first + index:
                raise UnreadableMessage(f"sequence {event['sequence']} does not follow the one before it")
            first = max(first, event["sequence"] - index)
            if event.get("type") == "gap" and (absent := _GAP_KEYS - event.keys()):
                raise UnreadableMessage(f"a gap event without {sorted(absent)}")
        return events
