"""What is done for each message costs no allocation, no counted reference and no call of the kernel: once by looking at the
instructions, once by counting while data flow."""

import re
from importlib.machinery import SourceFileLoader
from importlib.util import module_from_spec, spec_from_loader

import pytest

import disassembly
import harness

# Called for each message, or for each run of them without a loop of its own: none of the costly calls may stand in them.
HOT = [
    # Receiving and unframing.
    r"WireStage\.(read|receive|emit)\(", r"Transport\.read\(", r"Unframer\.next\(", r"ct_records_open$", r"ct_aead_open$",
    # Frames to events.
    r"BinanceDecoder\.(decode|decodeAhead)\(", r"FrameReader\.take(Kline|AggTrade|Ticker|MiniTicker|BookTicker|MarkPrice)\(",
    r"FrameReader\.takeFutures(Trade|AggTrade|Ticker|MiniTicker|BookTicker)\(", r"LayoutTable\.search\(",
    # Repeats, ids, rings.
    r"EventDigest\.digest\(", r"EventWriter\.(arrive|commit|advance)\(", r"RecentEvents\.(search|settleHighest)\(",
    # Events to batches.
    r"BatchStage\.(append|take|close|closeExpired|doWork)\(",
]


@pytest.fixture(scope="module")
def calls():
    return disassembly.costly_calls(harness.COLLECTOR)


def matching(calls: dict, pattern: str) -> dict:
    return {name: found for name, found in calls.items() if re.search(rf"(^|\W){pattern}", name)}


def alternatives(pattern: str) -> list[str]:
    """The single names of a pattern: each must be there, lest one that was renamed is no longer looked at."""
    group = re.search(r"\(([\w|]+)\)", pattern)
    return [pattern.replace(group[0], name) for name in group[1].split("|")] if group else [pattern]


@pytest.mark.parametrize("pattern", [name for pattern in HOT for name in alternatives(pattern)])
def test_nothing_costly_in_hot_functions(calls, pattern):
    functions = matching(calls, pattern)
    assert functions, f"no function is called {pattern}: it was renamed, or is inlined everywhere; adapt the list"
    costly = {name: found for name, found in functions.items() if found}
    assert not costly, f"called for each message: {costly}"


def test_costly_calls_are_seen(calls):
    """The look at the instructions is not blind: these functions are known to count references and to allocate."""
    for pattern, expected in ((r"EventWriter\.init\(", "swift_allocObject"), (r"ParserStage\.tell\(", "swift_release"),
                              (r"ct_records_new$", "malloc")):
        assert any(expected in found for found in matching(calls, pattern).values()), (pattern, matching(calls, pattern))
    assert any(disassembly.INDIRECT in found for found in matching(calls, r"ParserStage\.doWork\(").values())


def load_run():
    path = harness.ROOT / "Benchmarks" / "load" / "run"
    loader = SourceFileLoader("load_run", str(path))
    module = module_from_spec(spec_from_loader("load_run", loader))
    loader.exec_module(module)
    return module


@pytest.mark.parametrize("opener", ["direct", "openssl"])
def test_nothing_is_allocated_while_data_flow(tmp_path, opener):
    found = load_run().allocations(tmp_path, 2, 50_000, opener)
    print(found)
    assert found["messages"] > 20_000, found
    # That the count is not blind.
    assert found["elsewhere at least"] > 0, found
    # The tables of a new batch grow once in a while.
    assert found["a message"] < 0.002, found
    # Only what is rarer than batches counts any: a bar that closes, a checkpoint.
    assert found["of these a batch"] < 0.1, found
    if opener == "direct":
        assert found["inside OpenSSL"] == 0, found
