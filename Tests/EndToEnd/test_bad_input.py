"""What must not hurt: corrupt frames, huge frames, certificates that are wrong, servers that refuse."""

import base64
import json
import socket
import subprocess
import threading
import time

import pytest

import delivery
import feeds
import harness
import oracle

TRADE = (
    '{"stream":"btcusdt@trade","data":{"e":"trade","E":1790960630914,"s":"BTCUSDT","t":%d,"p":"84922.04000000",'
    '"q":"0.00023000","T":1790960630913,"m":true,"M":true}}'
)


def trades(tmp_path, count: int):
    path = tmp_path / "trades.ndjson"
    path.write_text("".join(TRADE % number + "\n" for number in range(1, count + 1)))
    return path


def subscribe_btc(replayer, **more):
    return harness.exchange(
        replayer.endpoint, replayer.authority, [{"type": "trade", "symbols": ["BTCUSDT"]}], **more)


CORRUPT = [
    "hello",
    "{",
    "[",
    '"text"',
    "17",
    "null",
    "[]{}",
    (TRADE % 7)[:-1],
    (TRADE % 7)[:60],
    (TRADE % 7)[:-12],
    (TRADE % 7).replace('"p":"84922.04000000"', '"p":"84922,04"'),
    (TRADE % 7).replace('"p":"84922.04000000"', '"p":"1e5"'),
    (TRADE % 7).replace('"p":"84922.04000000"', '"p":""'),
    (TRADE % 7).replace('"t":7', '"t":"seven"'),
    (TRADE % 7).replace('"t":7', '"t":99999999999999999999999'),
    (TRADE % 7).replace('"s":"BTCUSDT"', '"s":""'),
    (TRADE % 7).replace('"e":"trade"', '"e":"trad'),
    (TRADE % 7).replace(":", "=", 3),
    "hex:" + (TRADE % 7).encode().replace(b"84922", b"84\x00\x01").hex(),
]


def test_corrupt_frames_become_dead_letters_and_nothing_else_is_lost(programs, tmp_path):
    inject = tmp_path / "inject.txt"
    inject.write_text("\n".join(CORRUPT) + "\n")
    replayer = programs.replayer(
        "--feed", trades(tmp_path, 2000), "--pace", "rate=4000", "--start-after-streams", 1, "--inject", inject)
    begin = time.time_ns()
    collector = programs.collector([subscribe_btc(replayer)], {"type": "file", "path": str(tmp_path / "out")})
    metrics = collector.wait_quiet(60, at_least=2000)
    assert collector.terminate() == 0
    assert replayer.terminate() == 0
    sent = [frame for _, _, frame in replayer.sent()]
    injected = [replayer._injected(line.encode()) for line in CORRUPT]
    good = [frame for frame in sent if frame not in injected]
    # Each is counted, under whatever it was taken for.
    assert metrics.total("collector_events_dead_lettered_total") == len(CORRUPT), missing_dead_letters(
        tmp_path / "out", injected)
    assert len(good) == 2000 and len(sent) == 2000 + len(CORRUPT)
    expected = oracle.expect(good)
    expected.dead_letters = [frame for frame in sent if frame in injected]
    count = delivery.check_lines(delivery.read_segments(tmp_path / "out"), expected, begin, time.time_ns())
    assert count == 2000 + len(CORRUPT)


def missing_dead_letters(directory, injected: list[bytes]) -> list[bytes]:
    lines = delivery.read_segments(directory).get("market.deadletter.binance", [])
    arrived = [base64.b64decode(json.loads(line)["frame"]) for line in lines]
    return [frame for frame in injected if frame not in arrived]


def test_frames_that_nobody_asked_for_are_counted_and_ignored(programs, tmp_path):
    inject = tmp_path / "inject.txt"
    inject.write_text(
        '{"stream":"btcusdt@depth@100ms","data":{"e":"depthUpdate","E":1,"s":"BTCUSDT","U":1,"u":2,"b":[["1","2"]],'
        '"a":[]}}\n'
        '{"stream":"btcusdt@depth20","data":{"lastUpdateId":160,"bids":[["0.0024","10"]],"asks":[]}}\n')
    replayer = programs.replayer(
        "--feed", trades(tmp_path, 100), "--pace", "rate=1000", "--start-after-streams", 1, "--inject", inject)
    begin = time.time_ns()
    collector = programs.collector([subscribe_btc(replayer)], {"type": "file", "path": str(tmp_path / "out")})
    metrics = collector.wait_quiet(60, at_least=102)
    assert metrics.total("collector_events_received_total") == 100
    assert metrics.total("collector_events_dead_lettered_total") == 0
    assert collector.terminate() == 0
    expected = oracle.expect((TRADE % number).encode() for number in range(1, 101))
    assert delivery.check_lines(delivery.read_segments(tmp_path / "out"), expected, begin, time.time_ns()) == 100


def test_a_frame_of_16_MiB_ends_the_connection_and_the_next_one_goes_on(programs, tmp_path):
    inject = tmp_path / "inject.txt"
    inject.write_text("huge:16777216\n")
    market = ["--synthetic", "--symbols", 2, "--mix", "trade=100", "--pace", "rate=1000"]
    replayer = programs.replayer(*market, "--inject", inject)
    collector = programs.collector(
        [harness.exchange(replayer.endpoint, replayer.authority, [{"type": "trade", "symbols": replayer.symbols}])],
        {"type": "null"})
    told = collector.wait_for(r"(?i).*(1009|too large|larger than).*", 30).group()
    assert "1048576" in told or "1009" in told, told
    assert replayer.terminate() == 0
    # The same server without the frame: each new connection would get it again.
    port = replayer.endpoint.rpartition(":")[2]
    programs.replayer(*market, listen=f"127.0.0.1:{port}", name="again")
    harness.wait_until(
        "events after the reconnect",
        lambda: (m := collector.metrics()) and m.total("collector_reconnects_total") >= 1
        and m.total("collector_events_published_total") > 500, 60)
    collector.metrics().check_identity()
    assert collector.terminate() == 0


def certificate(directory, *arguments):
    made = subprocess.run(
        [harness.REPLAYER, "certificate", "--directory", directory, *arguments], capture_output=True, text=True,
        timeout=60)
    assert made.returncode == 0, made.stderr
    return directory


def stays_up_and_ends_well(collector):
    """Trying on, alive, and obedient."""
    assert collector.is_running
    assert collector.get("/healthz")[0] == 200
    assert collector.get("/readyz")[0] == 503
    collector.metrics().check_identity()
    assert collector.terminate() == 0


def test_a_certificate_for_another_name(programs, tmp_path):
    directory = certificate(tmp_path / "wrong", "--name", "exchange.invalid")
    replayer = programs.replayer(
        "--synthetic", "--symbols", 1, "--certificate-directory", directory)
    collector = programs.collector([subscribe_btc(replayer)], {"type": "null"})
    told = collector.wait_for(r"(?i).*(host ?name|name).*(mismatch|does not|not valid for|not for).*", 20).group()
    assert "localhost" in told or "127.0.0.1" in told, f"the host is not named: {told}"
    stays_up_and_ends_well(collector)


def test_an_expired_certificate(programs, tmp_path):
    directory = certificate(tmp_path / "expired", "--expired")
    replayer = programs.replayer(
        "--synthetic", "--symbols", 1, "--certificate-directory", directory)
    collector = programs.collector([subscribe_btc(replayer)], {"type": "null"})
    collector.wait_for(r"(?i).*certificate.*expired.*", 20)
    stays_up_and_ends_well(collector)


def test_an_authority_that_is_not_trusted(programs, tmp_path):
    replayer = programs.replayer("--synthetic", "--symbols", 1)
    other = certificate(tmp_path / "other")
    collector = programs.collector(
        [subscribe_btc(replayer, tls={"certificateAuthority": str(other / "ca.pem")})], {"type": "null"})
    told = collector.wait_for(r"(?i).*(issuer|self.signed|authority|verify).*", 20).group()
    assert "certificateAuthority" in told or "authority" in told.lower(), f"no remedy: {told}"
    stays_up_and_ends_well(collector)


@pytest.mark.parametrize("status, words", [(404, ["404"]), (451, ["451"])])
def test_a_refused_upgrade(programs, status, words):
    replayer = programs.replayer("--synthetic", "--symbols", 1, "--upgrade-status", status)
    collector = programs.collector([subscribe_btc(replayer)], {"type": "null"})
    told = collector.wait_for(rf".*{status}.*", 20).group()
    for word in words:
        assert word in told
    assert "ikely" in told or ";" in told or ":" in told, f"no likely cause: {told}"
    stays_up_and_ends_well(collector)


def test_nobody_listens(programs):
    collector = programs.collector(
        [harness.exchange(f"ws://127.0.0.1:{harness.free_port()}", None, [{"type": "trade", "symbols": ["BTCUSDT"]}])],
        {"type": "null"})
    collector.wait_for(r"(?i).*refused.*", 20)
    stays_up_and_ends_well(collector)


def test_a_plain_server_where_tls_is_spoken(programs):
    """A web server answers a TLS greeting with an HTTP error."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer():
            try:
                while True:
                    client, _ = server.accept()
                    with client:
                        client.recv(4096)
                        client.sendall(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n")
            except OSError:
                pass  # closed: the test is over

        threading.Thread(target=answer, daemon=True).start()
        collector = programs.collector(
            [harness.exchange(
                f"wss://127.0.0.1:{server.getsockname()[1]}", None, [{"type": "trade", "symbols": ["BTCUSDT"]}])],
            {"type": "null"})
        told = collector.wait_for(r"(WARNING|ERROR).*", 20).group()
        assert "ws://" in told or "not TLS" in told or "no TLS" in told, f"the likely cause is not named: {told}"
        stays_up_and_ends_well(collector)
