"""Opening connections across real networks, in namespaces: what drops, what hangs, and proxies.

Needs root and iproute2; where these are missing, the tests are skipped with the reason.
"""

import json
import re
import shutil
import sys
from pathlib import Path

import pytest

import harness
import namespaces

REASON = namespaces.missing()
pytestmark = pytest.mark.skipif(REASON is not None, reason=REASON or "")

PORT = 9443
SERVER, CLIENT, SERVER6, CLIENT6 = "10.231.0.2", "10.231.0.1", "fd00:231::2", "fd00:231::1"
CONNECTED = r"connected to \S+ at (\S+) \(.*\), \d+ streams, after (\d+) ms"


@pytest.fixture
def machine(tmp_path):
    made = []

    def make(name, **more):
        made.append(namespaces.Machine(tmp_path, name, **more))
        return made[-1]

    yield make
    for one in made:
        one.remove()


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    """A certificate for exchange.test, which is its own authority, and its key."""
    if shutil.which("openssl") is None:
        pytest.skip("a certificate for a name of its own needs openssl")
    directory = tmp_path_factory.mktemp("certificate")
    namespaces.run(
        "openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
        "-subj", "/CN=exchange.test", "-addext", "subjectAltName=DNS:exchange.test", "-addext",
        "basicConstraints=critical,CA:TRUE", "-keyout", directory / "key.pem", "-out", directory / "certificate.pem")
    return directory / "certificate.pem", directory / "key.pem"


def start_exchange(programs, where, certificate):
    exchange = programs.run("exchange", where.command(
        harness.REPLAYER, "serve", "--synthetic", "--symbols", "1", "--pace", "rate=200", "--listen", f"0.0.0.0:{PORT}",
        "--certificate", certificate[0], "--key", certificate[1]))
    exchange.wait_for(r'"listening"')
    return exchange


def entry(endpoint, certificate, market="spot", **more):
    return harness.exchange(
        endpoint, str(certificate[0]), [{"type": "trade", "symbols": ["BTCUSDT"]}], market=market, **more)


def start_collector(programs, tmp_path, where, exchanges, environment=None, name="collector"):
    file = tmp_path / f"{name}.yaml"
    file.write_text(json.dumps(harness.configuration(tmp_path, exchanges, {"type": "null"}, api={"listen": "off"})))
    # What the test's own environment says of proxies is not meant.
    environment = {"HTTPS_PROXY": "", "https_proxy": "", "NO_PROXY": "", "no_proxy": "", **(environment or {})}
    return programs.run(name, where.command(harness.COLLECTOR, "run", "--config", file), environment)


def finish(collector) -> str:
    assert collector.terminate() == 0, collector.log()[-3000:]
    return collector.log()


def received(log: str) -> int:
    return int(re.search(r"OK: received ([\d,]+) = published", log).group(1).replace(",", ""))


def test_an_address_that_drops_costs_a_quarter_of_a_second(programs, tmp_path, machine, certificate):
    """The host has IPv6 and IPv4 addresses; what goes to the former is lost on the way."""
    hosts = {"exchange.test": [SERVER6, SERVER]}
    client, server = machine("client", hosts=hosts), machine("server")
    here, there = client.plug(server, [f"{CLIENT}/24", f"{CLIENT6}/64"], [f"{SERVER}/24"])
    client.swallow(server, here, there, SERVER6)
    start_exchange(programs, server, certificate)
    collector = start_collector(
        programs, tmp_path, client, [entry(f"wss://exchange.test:{PORT}", certificate)])
    address, took = collector.wait_for(CONNECTED, 20).groups()
    assert address == f"{SERVER}:{PORT}"
    # 250 ms until IPv4 has its turn; the round trips here take no time, what is above is this machine's load.
    assert 250 <= int(took) < 1000, collector.log()
    print(f"connected over IPv4 after {took} ms")
    assert received(finish(collector)) > 0


def test_an_address_that_works_is_taken_at_once(programs, tmp_path, machine, certificate):
    client, server = machine("client", hosts={"exchange.test": [SERVER]}), machine("server")
    client.plug(server, [f"{CLIENT}/24"], [f"{SERVER}/24"])
    start_exchange(programs, server, certificate)
    collector = start_collector(
        programs, tmp_path, client, [entry(f"wss://exchange.test:{PORT}", certificate)])
    _, took = collector.wait_for(CONNECTED, 20).groups()
    assert int(took) < 1000, collector.log()
    finish(collector)


def test_a_name_server_that_hangs_holds_up_nobody_else(programs, tmp_path, machine, certificate):
    """One market's name is asked of a server that never answers; the other market's host needs no lookup."""
    hosts = {"exchange.test": [SERVER]}
    client, server = machine("client", hosts=hosts, resolver="10.231.0.9"), machine("server")
    here, there = client.plug(server, [f"{CLIENT}/24"], [f"{SERVER}/24"])
    client.swallow(server, here, there, "10.231.0.9")
    start_exchange(programs, server, certificate)
    collector = start_collector(
        programs, tmp_path, client, [
            entry("wss://unknown.test:1", certificate, market="usdm", limits={"openTimeout": "1s"}),
            entry(f"wss://exchange.test:{PORT}", certificate),
        ])
    _, took = collector.wait_for(CONNECTED, 20).groups()
    assert int(took) < 1000, collector.log()
    collector.wait_for(
        r"the name of wss://unknown\.test:1 was not resolved in time; likely cause: the name server does not answer", 20)
    finish(collector)


def test_a_name_server_that_answers_for_one_version_of_IP_only(programs, tmp_path, machine, certificate):
    """Both versions are asked for at once; the one that has an answer waits 50 ms for the other."""
    client, server = machine("client", resolver=SERVER), machine("server")
    client.plug(server, [f"{CLIENT}/24", f"{CLIENT6}/64"], [f"{SERVER}/24"])
    script = Path(__file__).with_name("name_server.py")
    names = programs.run("names", server.command(sys.executable, script, SERVER, SERVER))
    names.wait_for("listening")
    start_exchange(programs, server, certificate)
    collector = start_collector(
        programs, tmp_path, client, [entry(f"wss://exchange.test:{PORT}", certificate)])
    address, took = collector.wait_for(CONNECTED, 20).groups()
    assert address == f"{SERVER}:{PORT}"
    assert 50 <= int(took) < 1000, collector.log()
    assert "ignored" in names.log()
    print(f"connected with half an answer after {took} ms")
    finish(collector)


@pytest.fixture
def proxied(programs, machine, certificate):
    """A client that reaches nothing but a proxy that wants a user, and an exchange that only the proxy reaches."""
    client = machine("client", hosts={"proxy.test": ["10.232.0.2"]})
    proxy = machine("proxy", hosts={"exchange.test": [SERVER]})
    server = machine("server")
    client.plug(proxy, ["10.232.0.1/24"], ["10.232.0.2/24"])
    proxy.plug(server, [f"{CLIENT}/24"], [f"{SERVER}/24"])
    start_exchange(programs, server, certificate)
    script = Path(__file__).with_name("connect_proxy.py")
    program = programs.run("proxy", proxy.command(sys.executable, script, "10.232.0.2", "3128", "trader:hunter2"))
    program.wait_for("listening")
    return client, program


@pytest.mark.parametrize("way", ["environment", "configuration"])
def test_a_proxy_tunnels(programs, tmp_path, certificate, proxied, way):
    client, proxy = proxied
    address = "http://trader:hunter2@proxy.test:3128"
    environment = {"HTTPS_PROXY": address} if way == "environment" else {}
    network = {"network": {"proxy": address}} if way == "configuration" else {}
    collector = start_collector(
        programs, tmp_path, client, [entry(f"wss://exchange.test:{PORT}", certificate, **network)], environment)
    collector.wait_for(r"connected to \S+ through http://proxy\.test:3128 \(TLSv1\.3", 20)
    assert f"exchange.test:{PORT} 200" in proxy.log()
    log = finish(collector)
    assert received(log) > 0
    assert "hunter2" not in log and "trader" not in log


def test_a_proxy_that_refuses_is_said(programs, tmp_path, certificate, proxied):
    client, _ = proxied
    cases = [
        ("proxy.test:3128", f"wss://exchange.test:{PORT}", r"HTTP 407 Proxy Authentication Required; it wants a user"),
        ("http://trader:wrong@proxy.test:3128", f"wss://exchange.test:{PORT}", r"HTTP 407 .*; user or password is wrong"),
        ("http://trader:hunter2@proxy.test:3128", "wss://exchange.test:1", r"HTTP 502 .*; likely cause: it cannot reach"),
        ("http://trader:hunter2@proxy.test:9", f"wss://exchange.test:{PORT}",
         r"no connection to the proxy http://proxy\.test:9 \(10\.232\.0\.2:9: Connection refused\)"),
    ]
    for index, (proxy, endpoint, text) in enumerate(cases):
        collector = start_collector(
            programs, tmp_path, client, [entry(endpoint, certificate, network={"proxy": proxy})], name=f"refused{index}")
        collector.wait_for(text, 20)
        assert "hunter2" not in collector.log() and "wrong@" not in collector.log()
        collector.kill()


def test_hosts_in_NO_PROXY_are_connected_to_directly(programs, tmp_path, machine, certificate):
    client, server = machine("client", hosts={"exchange.test": [SERVER]}), machine("server")
    client.plug(server, [f"{CLIENT}/24"], [f"{SERVER}/24"])
    start_exchange(programs, server, certificate)
    environment = {"HTTPS_PROXY": "http://proxy.test:3128", "NO_PROXY": "localhost,.test"}
    collector = start_collector(
        programs, tmp_path, client, [entry(f"wss://exchange.test:{PORT}", certificate)], environment)
    assert collector.wait_for(CONNECTED, 20).group(1) == f"{SERVER}:{PORT}"
    finish(collector)
