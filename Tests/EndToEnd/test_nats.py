"""Recorded frames through replayer, TLS, collector and a real NATS server with JetStream, read by the official Python
client: the same comparison as with Pub/Sub; and a server that is killed, full, frozen, or wants to know who we are."""

import asyncio
import ssl
import shutil
import signal
import time

import nats
import pytest

import delivery
import feeds
import harness
import oracle

pytestmark = pytest.mark.skipif(
    shutil.which("nats-server") is None, reason="nats-server is not installed (Debian package nats-server)")


class Server:
    """A nats-server on a port of its own; its data survive a kill."""

    def __init__(self, programs, directory, configuration="", port=None):
        self.programs, self.directory, self.configuration = programs, directory / "nats", configuration
        self.port = port or harness.free_port()
        self.url = f"nats://127.0.0.1:{self.port}"
        self.starts = 0
        self.start()

    def start(self):
        self.starts += 1
        self.directory.mkdir(exist_ok=True)
        file = self.directory / "server.conf"
        file.write_text(
            f'listen: "127.0.0.1:{self.port}"\njetstream {{ store_dir: "{self.directory}/data" }}\n{self.configuration}\n')
        self.process = self.programs.run(f"nats-{self.starts}", ["nats-server", "-c", file])
        self.process.wait_for("Server is ready")

    def kill(self):
        self.process.kill()


def read(server, stream="MARKET", **options):
    """All messages of a stream in its order, and what the stream says about itself."""
    async def run():
        client = await nats.connect(server.url, allow_reconnect=False, **options)
        try:
            context = client.jetstream()
            info = await context.stream_info(stream)
            wanted = info.state.messages
            messages = []
            subscription = await context.subscribe(">", ordered_consumer=True, stream=stream)
            while len(messages) < wanted:
                message = await subscription.next_msg(timeout=20)
                attributes = dict(message.headers)
                identity = attributes.pop("Nats-Msg-Id")
                assert identity == attributes["batch_id"]
                key = attributes.pop("ordering_key", "")
                messages.append(delivery.Message(
                    message.subject, str(message.metadata.sequence.stream), message.data, attributes, key))
            return messages, info
        finally:
            await client.close()

    return asyncio.run(run())


def deliver(programs, server, arguments, streams, during=None, sink=None, seconds=150, read_options=None, **more):
    replayer = programs.replayer(*arguments)
    begin = time.time_ns()
    collector = programs.collector(
        [harness.exchange(replayer.endpoint, replayer.authority, feeds.subscriptions(streams))],
        {"type": "nats", "endpoint": server.url, **(sink or {})}, **more)
    if during:
        during(collector)
    metrics = collector.wait_quiet(seconds)
    assert collector.terminate() == 0, collector.log()[-3000:]
    assert replayer.terminate() == 0
    expected = oracle.expect([frame for _, _, frame in replayer.sent()])
    messages, info = read(server, **(read_options or {}))
    lines = delivery.check_messages(messages, "end-to-end")
    assert delivery.check_lines(lines, expected, begin, time.time_ns()) == expected.total
    assert metrics.total("collector_events_published_total") == expected.total
    return expected, messages, info, collector


@pytest.fixture(scope="module")
def recorded(spot_feed):
    files, streams = spot_feed
    wanted = [stream for stream in streams if feeds.subscriptions([stream])]
    arguments = [argument for path in files for argument in ("--feed", path)]
    return [*arguments, "--pace", "max", "--start-after-streams", len(wanted)], wanted


def synthetic(count=20_000, rate=5000, symbols=8):
    arguments = [
        "--synthetic", "--symbols", symbols, "--seed", 11, "--mix", "trade=100", "--pace", f"rate={rate}",
        "--messages", count, "--start-after-streams", symbols]
    return arguments, [f"{symbol.lower()}@trade" for symbol in harness.SYMBOLS[:symbols]]


def published(collector, count):
    harness.wait_until(
        f"{count} published events",
        lambda: (m := collector.metrics()) and m.total("collector_events_published_total") > count, 60)


def test_every_recorded_frame_stands_in_the_stream_once_in_order(programs, recorded, tmp_path):
    arguments, streams = recorded
    server = Server(programs, tmp_path)
    expected, messages, info, _ = deliver(programs, server, arguments, streams)
    assert expected.frames > 180_000 and info.config.subjects == ["market.>"]
    print(f"{expected.frames} frames, {expected.total} events, {len(messages)} messages")


def test_nothing_is_lost_or_doubled_when_the_server_is_killed(programs, tmp_path):
    server = Server(programs, tmp_path)
    arguments, streams = synthetic(40_000)

    def strike(collector):
        for count in (4_000, 12_000, 20_000):
            published(collector, count)
            server.kill()
            harness.wait_until("503 from /readyz", lambda: collector.get("/readyz")[0] == 503)
            collector.metrics().check_identity()
            server.start()
            harness.wait_until("200 from /readyz", lambda: collector.get("/readyz")[0] == 200, 60)

    expected, _, _, collector = deliver(programs, server, arguments, streams, during=strike)
    assert expected.total == 40_000
    assert "nothing was lost" in collector.log()


def test_nothing_is_lost_or_doubled_while_the_server_stands_still(programs, tmp_path):
    server = Server(programs, tmp_path)
    arguments, streams = synthetic(40_000)

    def freeze(collector):
        published(collector, 4_000)
        server.process.send(signal.SIGSTOP)
        try:
            # Beyond the time in which an acknowledgement is waited for.
            time.sleep(13)
            assert collector.metrics().total("collector_events_in_flight") > 0
            assert "no acknowledgement" in collector.log()
        finally:
            server.process.send(signal.SIGCONT)

    assert deliver(programs, server, arguments, streams, during=freeze)[0].total == 40_000


def test_one_message_an_event(programs, tmp_path):
    server = Server(programs, tmp_path)
    arguments, streams = synthetic(5_000)
    expected, messages, _, _ = deliver(
        programs, server, arguments, streams, batching={"payload": "event", "maxDelay": "5ms"})
    assert len(messages) == expected.total == 5_000
    assert {message.attributes["content_type"] for message in messages} == {"application/json"}


def test_a_full_stream_is_said_and_waited_for(programs, tmp_path):
    server = Server(programs, tmp_path)

    def command(change):
        async def run():
            client = await nats.connect(server.url, allow_reconnect=False)
            context = client.jetstream()
            await change(context)
            await client.close()
        asyncio.run(run())

    # A limit of messages: by bytes nats-server 2.9 forgets the record's own overhead when it refuses, and then discards
    # the oldest message after all.
    settings = {"name": "SMALL", "subjects": ["market.>"], "discard": "new"}
    command(lambda context: context.add_stream(max_msgs=50, **settings))
    arguments, streams = synthetic(10_000)

    def widen(collector):
        told = collector.wait_for(r".*nats sink: market\.trade.*maximum messages exceeded.*", 60).group()
        assert "stream info" in told
        assert collector.is_running and collector.get("/readyz")[0] == 503
        collector.metrics().check_identity()
        command(lambda context: context.update_stream(max_msgs=-1, **settings))

    expected, _, _, _ = deliver(
        programs, server, arguments, streams, during=widen, read_options={"stream": "SMALL"})
    assert expected.total == 10_000


def test_a_missing_stream_is_said_and_waited_for(programs, tmp_path):
    server = Server(programs, tmp_path)
    arguments, streams = synthetic(5_000)

    def make(collector):
        told = collector.wait_for(r".*no stream takes that subject.*", 60).group()
        assert "sink.createTopics" in told

        async def run():
            client = await nats.connect(server.url, allow_reconnect=False)
            await client.jetstream().add_stream(name="LATE", subjects=["market.>"])
            await client.close()
        asyncio.run(run())

    deliver(
        programs, server, arguments, streams, during=make, sink={"createTopics": False}, read_options={"stream": "LATE"})


def test_the_password_is_wanted_and_never_shown(programs, tmp_path):
    password = "swordfish-of-the-nats-test"
    server = Server(
        programs, tmp_path, f'authorization {{ users: [ {{ user: collector, password: "{password}" }} ] }}')
    arguments, streams = synthetic(2_000)
    sink = {"user": "collector", "password": "${NATS_PASSWORD}"}
    wrong = programs.collector(
        [harness.exchange("wss://127.0.0.1:1", None, feeds.subscriptions(streams))],
        {"type": "nats", "endpoint": server.url, **sink}, environment={"NATS_PASSWORD": "wrong-password-0123"},
        name="wrong")
    told = wrong.wait_for(r".*Authorization Violation.*").group()
    assert "sink.password" in told
    assert wrong.terminate() == 0
    assert "wrong-password-0123" not in wrong.log()
    _, _, _, collector = deliver(
        programs, server, arguments, streams, sink=sink, environment={"NATS_PASSWORD": password},
        read_options={"user": "collector", "password": password})
    assert password not in collector.log()


def test_tls_is_verified(programs, tmp_path):
    """With the certificate of a replayer's authority, which is for 127.0.0.1 and localhost."""
    arguments, streams = synthetic(2_000)
    maker = programs.replayer(*arguments, name="maker")
    folder = tmp_path / "certificates"
    server = Server(
        programs, tmp_path, f'tls {{ cert_file: "{folder}/server.pem", key_file: "{folder}/server-key.pem" }}')
    server.url = server.url.replace("nats:", "tls:").replace("127.0.0.1", "localhost")
    refused = programs.collector(
        [harness.exchange("wss://127.0.0.1:1", None, feeds.subscriptions(streams))],
        {"type": "nats", "endpoint": server.url}, name="refused")
    assert "SSL_CERT_FILE" in refused.wait_for(r".*nats sink: TLS with.*").group()
    refused.terminate()
    maker.terminate()
    context = ssl.create_default_context(cafile=f"{folder}/ca.pem")
    deliver(
        programs, server, [*arguments, "--certificate-directory", folder], streams,
        environment={"SSL_CERT_FILE": f"{folder}/ca.pem"}, read_options={"tls": context})


def test_a_message_that_is_too_large_holds_up_only_its_subject(programs, tmp_path):
    server = Server(programs, tmp_path, "max_payload: 2KB")
    arguments, streams = synthetic(3_000, rate=1000, symbols=2)
    replayer = programs.replayer(*arguments)
    collector = programs.collector(
        [harness.exchange(replayer.endpoint, replayer.authority, feeds.subscriptions(streams))],
        {"type": "nats", "endpoint": server.url},
        batching={"maxDelay": "500ms", "closeWhenIdle": False, "compression": "none"})
    told = collector.wait_for(r".*larger than the server takes.*", 60).group()
    assert "max_payload" in told and "batching.maxBytes" in told
    collector.metrics().check_identity()
    server.kill()
    server.configuration = "max_payload: 1MB"
    server.start()
    collector.wait_quiet(60)
    assert collector.terminate() == 0
    assert replayer.terminate() == 0
    assert sum(len(message.lines()) for message in read(server)[0]) == 3_000
