"""Reads the spool's files as SpoolFormat.swift describes them, by other code than the collector's."""

import collections
import struct
from pathlib import Path

HEAD, ROUTE, BATCH, ENCODED = struct.Struct("<6I"), 0x52584358, 0x42584358, 0x45584358
MAGIC = 0x0A4C4F4F50534358


def spooled(directory: Path) -> dict[int, set[int]]:
    """The numbers of the batches that stand whole in the files, by their run."""
    found: dict[int, set[int]] = collections.defaultdict(set)
    for path in sorted(directory.glob("segment-*.spool")):
        data = path.read_bytes()
        if len(data) < 64 or struct.unpack_from("<Q", data)[0] != MAGIC:
            continue
        routes: dict[int, int] = {}
        at = 64
        while at + HEAD.size <= len(data):
            form, length, route, _, _, _ = HEAD.unpack_from(data, at)
            end = at + HEAD.size + length
            if form not in (ROUTE, BATCH, ENCODED) or end > len(data):
                break
            if form == ROUTE:
                routes[route] = struct.unpack_from("<Q", data, at + HEAD.size)[0]
            else:
                # BatchHeader.number.
                found[routes[route]].add(struct.unpack_from("<Q", data, at + HEAD.size + 16)[0])
            at = (end + 7) & ~7
    return dict(found)
