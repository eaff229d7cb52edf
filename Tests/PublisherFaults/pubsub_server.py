"""A Pub/Sub publisher service that misbehaves on request: gRPC over HTTP/2 (the h2 library) with the official message types.

It is strict where the emulator is not: unknown fields, mixed ordering keys, sizes, attribute names, UTF-8 and headers are checked,
and so is that no two requests of one topic and ordering key are under way together. What it does to a request is its script's
decision; what it stored it keeps in the order of storing.
"""

import asyncio
import base64
import hashlib
import re
import socket
import ssl
import struct
import threading
from collections import Counter, defaultdict
from dataclasses import dataclass, field

import h2.config
import h2.connection
import h2.errors
import h2.events
import h2.settings
from google.protobuf import any_pb2, duration_pb2
from google.pubsub_v1 import types
from google.rpc import error_details_pb2, status_pb2

OK, CANCELLED, UNKNOWN, INVALID_ARGUMENT, DEADLINE_EXCEEDED, NOT_FOUND, ALREADY_EXISTS, PERMISSION_DENIED, RESOURCE_EXHAUSTED = range(9)
UNAVAILABLE, UNAUTHENTICATED, INTERNAL = 14, 16, 13
Topic, PublishRequest, PublishResponse = (kind.pb() for kind in (types.Topic, types.PublishRequest, types.PublishResponse))
TOPIC = re.compile(r"projects/([a-z][a-z0-9-]*)/topics/([A-Za-z][A-Za-z0-9\-_.~+%]{2,254})")
TIMEOUT = re.compile(r"\d{1,8}[HMSmun]")
UPGRADE = b"\r\nUpgrade: h2c\r\n"


@dataclass
class Fate:
    """What becomes of one request, in this order: it waits, is stored or not, the connection or the stream may end, an answer may go."""

    delay: float = 0
    store: bool = True
    # A gRPC status; 0 answers with what was asked for.
    status: int = OK
    message: str = ""
    retry_delay: float = 0
    # answer | nothing | reset | cut | goaway | goaway-cut | bare (no trailers) | half | http
    end: str = "answer"
    http_status: int = 200
    reset_code: int = h2.errors.ErrorCodes.INTERNAL_ERROR


class Script:
    """Decides. This one lets everything succeed; fields are what was stored, to be read when all is over."""

    def __init__(self):
        self.topics = {}
        self.stored = defaultdict(list)  # (topic id, ordering key) -> [(batch id, digest)]
        self.dead_letters = []  # messages
        self.violations = []
        self.fates = Counter()
        self.running = {}  # (topic id, ordering key) -> (connection, stream)
        self.bytes = 0

    def is_running(self, claim):
        """Whether a request is under way that its sender has not given up, nor lost with its connection."""
        connection, stream = self.running.get(claim, (None, 0))
        return connection is not None and not connection.transport.is_closing() and stream not in connection.given_up

    def publish(self, topic, key, ids):
        """The fate of a Publish; `ids`: the batch ids in it."""
        return Fate()

    def create(self, topic):
        return Fate()

    def token(self, value):
        """Whether the authorization header is good."""
        return True

    def note(self, head):
        """Sees the headers of each request."""


class Refusal(Exception):
    def __init__(self, status, text):
        super().__init__(text)
        self.status, self.text = status, text


def decode(kind, body):
    """A message that is exactly one of ours: no unknown field, nothing written in an unusual way."""
    try:
        message = kind.FromString(body)
    except Exception as error:
        raise Refusal(INVALID_ARGUMENT, f"malformed: {error}") from None
    message.DiscardUnknownFields()
    if message.ByteSize() != len(body):
        raise Refusal(INVALID_ARGUMENT, "unknown fields")
    return message


def check(request):
    """Pub/Sub's documented limits (https://cloud.google.com/pubsub/quotas#resource_limits)."""
    def need(right, text):
        if not right:
            raise Refusal(INVALID_ARGUMENT, text)

    need(TOPIC.fullmatch(request.topic), f"topic name {request.topic!r}")
    need(1 <= len(request.messages) <= 1000, f"{len(request.messages)} messages")
    need(request.ByteSize() <= 10_000_000, f"{request.ByteSize()} bytes")
    need(len({message.ordering_key for message in request.messages}) == 1, "mixed ordering keys")
    need(len(request.messages[0].ordering_key.encode()) <= 1024, "ordering key too long")
    for message in request.messages:
        need(message.data or message.attributes, "empty message")
        need(len(message.attributes) <= 100, "too many attributes")
        need(not message.message_id and not message.HasField("publish_time"), "fields of the server are set")
        for key, value in message.attributes.items():
            need(1 <= len(key.encode()) <= 256 and not key.startswith("goog"), f"attribute {key!r}")
            need(len(value.encode()) <= 1024, f"attribute {key!r} has {len(value.encode())} bytes")


class ResetCounting(h2.connection.H2Connection):
    """h2 says nothing of resets of streams that are closed; libcurl 7.88.1 sends one for each."""

    resets = 0

    def _receive_rst_stream_frame(self, frame):
        self.resets += 1
        return super()._receive_rst_stream_frame(frame)


class Connection(asyncio.Protocol):
    def __init__(self, server):
        self.server = server
        self.bodies, self.heads = {}, {}
        self.waiting = {}  # stream -> bytes and trailers that flow control holds back
        self.flush_timer = None
        self.given_up = set()
        self.is_fresh = True

    def connection_made(self, transport):
        self.transport = transport
        if self.server.closed_door:
            self.server.broken += 1
            transport.abort()
            return
        self.server.connections += 1
        self.server.live.add(self)
        transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.http = ResetCounting(h2.config.H2Configuration(
            client_side=False, header_encoding="utf-8", validate_inbound_headers=True))
        self.http.initiate_connection()
        self.http.update_settings({
            h2.settings.SettingCodes.MAX_CONCURRENT_STREAMS: 100,
            h2.settings.SettingCodes.INITIAL_WINDOW_SIZE: self.server.window})
        if self.server.window > 65_535:
            self.http.increment_flow_control_window(self.server.window - 65_535)
        self.flush()

    def connection_lost(self, error):
        self.server.live.discard(self)

    def flush(self):
        data = self.http.data_to_send()
        if data and not self.transport.is_closing():
            self.transport.write(data)

    def data_received(self, data):
        if self.is_fresh:
            self.is_fresh = False
            if self.server.certificate is None and data.startswith(b"POST /google.pubsub.v1.Publisher/") and UPGRADE in data:
                # libcurl's own second try after a kept cleartext connection has died. It is not understood, so not stored.
                self.server.upgrades += 1
                self.server.connections -= 1
                self.transport.close()
                return
        try:
            events = self.http.receive_data(data)
        except h2.exceptions.ProtocolError as error:
            self.server.protocol_errors.append(repr(error))
            self.flush()
            self.transport.close()
            return
        for event in events:
            if isinstance(event, h2.events.RequestReceived):
                self.heads[event.stream_id] = dict(event.headers)
                self.bodies[event.stream_id] = bytearray()
            elif isinstance(event, h2.events.DataReceived):
                self.bodies.get(event.stream_id, bytearray()).extend(event.data)
                if not self.server.holds_windows and event.flow_controlled_length:
                    self.http.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
            elif isinstance(event, h2.events.StreamEnded):
                head, body = self.heads.pop(event.stream_id, None), self.bodies.pop(event.stream_id, b"")
                if head is not None:
                    asyncio.ensure_future(self.serve(event.stream_id, head, bytes(body)))
            elif isinstance(event, h2.events.StreamReset):
                self.given_up.add(event.stream_id)
                for table in (self.heads, self.bodies, self.waiting):
                    table.pop(event.stream_id, None)
            elif isinstance(event, h2.events.WindowUpdated):
                for stream in list(self.waiting) if event.stream_id == 0 else [event.stream_id]:
                    self.push(stream)
        self.flush()
        if self.server.ends_after and self.http.resets >= self.server.ends_after:
            # As servers with a guard against rapid resets do.
            self.http.resets = 0
            self.goaway(h2.errors.ErrorCodes.ENHANCE_YOUR_CALM)

    def goaway(self, code=h2.errors.ErrorCodes.NO_ERROR):
        """No new streams; those under way go on. h2 would end the connection's state with its own GOAWAY, so the frame is made by its
        frame library alone."""
        from hyperframe.frame import GoAwayFrame
        self.flush()
        last = self.http.highest_inbound_stream_id
        self.transport.write(GoAwayFrame(0, last_stream_id=last, error_code=int(code)).serialize())
        self.server.goaways += 1
        self.server.broken += 1

    def push(self, stream, limit=1 << 30):
        """Sends as much of the answer as flow control lets through, then the trailers. `limit`: no more bytes than that in one go."""
        if stream not in self.waiting:
            return
        data, trailers = self.waiting[stream]
        try:
            while data:
                room = min(self.http.local_flow_control_window(stream), self.http.max_outbound_frame_size, len(data), limit)
                if room <= 0:
                    self.waiting[stream] = (data, trailers)
                    return
                self.http.send_data(stream, data[:room], end_stream=trailers is None and room == len(data))
                data = data[room:]
                limit -= room
                if data and limit <= 0:
                    self.waiting[stream] = (data, trailers)
                    return
            if trailers is not None:
                self.http.send_headers(stream, trailers, end_stream=True)
        except h2.exceptions.ProtocolError:
            pass
        self.waiting.pop(stream, None)

    def answer(self, stream, body, fate, details=None):
        trailers = [("grpc-status", str(fate.status))]
        if fate.message:
            trailers.append(("grpc-message", "".join(
                chr(byte) if 0x20 <= byte < 0x7F and byte != 0x25 else f"%{byte:02X}" for byte in fate.message.encode())))
        if details:
            trailers.append(("grpc-status-details-bin", base64.b64encode(details).decode().rstrip("=")))
        head = [(":status", str(fate.http_status)), ("content-type", "application/grpc")]
        try:
            if fate.end == "http":
                self.http.send_headers(stream, [(":status", str(fate.http_status)), ("content-type", "text/html")])
                self.http.send_data(stream, b"<html>no</html>", end_stream=True)
            elif fate.status != OK:
                self.http.send_headers(stream, head + trailers, end_stream=True)
            else:
                frame = struct.pack(">BI", 0, len(body)) + body
                if fate.end == "half":
                    frame = frame[:len(frame) // 2]
                self.http.send_headers(stream, head)
                self.waiting[stream] = (frame, None if fate.end in ("bare", "half") else trailers)
                if not self.server.answers_every:
                    self.push(stream)
        except h2.exceptions.ProtocolError:
            pass  # The client has gone, or given the stream up.
        if not self.server.answers_every:
            self.flush()
        elif self.flush_timer is None:
            self.flush_timer = self.server.loop.call_later(self.server.answers_every, self.flush_late)

    def flush_late(self):
        """The answers in turns, a part of each: as servers do whose streams take turns."""
        self.flush_timer = None
        for _ in range(100):
            for stream in list(self.waiting):
                self.push(stream, 12_000)
        self.flush()

    async def serve(self, stream, head, body):
        script, fate, reply, details, claim = None, Fate(store=False), b"", None, None
        try:
            kind, message, name, script = self.read(head, body)
            project, topic = TOPIC.fullmatch(name).groups()
            script.note(head)
            if not script.token(head.get("authorization", "")):
                fate = Fate(store=False, status=UNAUTHENTICATED, message="the token has expired")
            elif kind == "CreateTopic":
                fate = script.create(topic)
                if fate.delay:
                    await asyncio.sleep(fate.delay)
                reply = self.create(script, message, topic, fate)
            else:
                key = message.messages[0].ordering_key
                claim = (topic, key)
                if script.is_running(claim):
                    script.violations.append(f"two requests of {claim} at a time")
                script.running[claim] = (self, stream)
                ids = [entry.attributes["batch_id"] for entry in message.messages]
                fate = script.publish(topic, key, ids)
                if fate.delay:
                    # A request that is held back is still one that was taken: the next must not overtake it.
                    await asyncio.sleep(fate.delay)
                if topic not in script.topics:
                    raise Refusal(NOT_FOUND, f"Resource not found (resource={topic}).")
                if fate.store:
                    self.store(script, topic, key, message)
                    reply = PublishResponse(
                        message_ids=[str(9_876_543_210_000_000 + n) for n in range(len(ids))]).SerializeToString()
        except Refusal as refusal:
            fate = Fate(store=False, status=refusal.status, message=refusal.text)
            if script is not None and refusal.status == INVALID_ARGUMENT:
                script.violations.append(refusal.text)
            elif script is None:
                self.server.strays.append(refusal.text)
        finally:
            if claim and script and script.running.get(claim) == (self, stream):
                del script.running[claim]
        if script is not None:
            script.fates[f"{fate.end} {fate.status}{' stored' if fate.store and (fate.status or fate.end != 'answer') else ''}"] += 1
        if fate.status and fate.retry_delay:
            info = any_pb2.Any()
            info.Pack(error_details_pb2.RetryInfo(retry_delay=duration_pb2.Duration(
                seconds=int(fate.retry_delay), nanos=int(fate.retry_delay % 1 * 1e9))))
            details = status_pb2.Status(code=fate.status, message=fate.message, details=[info]).SerializeToString()
        self.conclude(stream, reply, fate, details)

    def conclude(self, stream, reply, fate, details):
        if self.transport.is_closing():
            return
        if fate.end == "nothing":
            return
        if fate.end == "reset":
            try:
                self.http.reset_stream(stream, fate.reset_code)
            except h2.exceptions.ProtocolError:
                pass
            self.flush()
        elif fate.end == "cut":
            self.server.broken += 1
            # RST rather than FIN.
            self.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.transport.abort()
        elif fate.end in ("goaway", "goaway-cut"):
            self.goaway()
            self.answer(stream, reply, fate, details)
            if fate.end == "goaway-cut":
                self.transport.close()
        else:
            self.answer(stream, reply, fate, details)

    def read(self, head, body):
        """The method, the message and the script whose project it names."""
        def need(right, text):
            if not right:
                raise Refusal(INVALID_ARGUMENT, text)

        path = head.get(":path", "")
        need(head.get("content-type", "").startswith("application/grpc"), "content-type")
        need(head.get("te") == "trailers", "te")
        need(TIMEOUT.fullmatch(head.get("grpc-timeout", "")), f"grpc-timeout {head.get('grpc-timeout')!r}")
        need(len(body) >= 5 and body[0] == 0 and int.from_bytes(body[1:5], "big") == len(body) - 5, "gRPC frame")
        kind = path.rpartition("/")[2]
        need(path in ("/google.pubsub.v1.Publisher/Publish", "/google.pubsub.v1.Publisher/CreateTopic"), f"path {path}")
        if kind == "CreateTopic":
            message = decode(Topic, body[5:])
            name = message.name
        else:
            message = decode(PublishRequest, body[5:])
            name = message.topic
        match = TOPIC.fullmatch(name)
        need(match, f"topic name {name!r}")
        script = self.server.scripts.get(match[1]) or self.server.default
        if script is None:
            raise Refusal(PERMISSION_DENIED, f"no project {match[1]}")
        script.bytes += len(body)
        if kind == "Publish":
            try:
                check(message)
            except Refusal as refusal:
                script.violations.append(refusal.text)
                raise
        return kind, message, name, script

    def create(self, script, message, topic, fate):
        if not fate.store:
            return b""
        if topic in script.topics:
            fate.status, fate.message = fate.status or ALREADY_EXISTS, "Resource already exists in the project"
        else:
            script.topics[topic] = message
        return message.SerializeToString()

    @staticmethod
    def store(script, topic, key, message):
        for entry in message.messages:
            digest = hashlib.blake2b(entry.SerializeToString(deterministic=True), digest_size=8).digest()
            script.stored[topic, key].append((entry.attributes["batch_id"], digest))
            if "dead_letter_reason" in entry.attributes:
                script.dead_letters.append(entry)


@dataclass
class Server:
    """Serves on a thread of its own. `certificate` and `key`: PEM files; without, cleartext with prior knowledge."""

    certificate: str | None = None
    key: str | None = None
    default: Script | None = None
    window: int = 1 << 20
    holds_windows: bool = False
    # Ends a connection with GOAWAY after so many resets; 0: never.
    ends_after: int = 0
    # Answers leave together, so often, s; 0: each at once.
    answers_every: float = 0
    scripts: dict = field(default_factory=dict)
    live: set = field(default_factory=set)
    strays: list = field(default_factory=list)
    protocol_errors: list = field(default_factory=list)
    connections: int = 0
    goaways: int = 0
    # Connections that it ended, or told to end, and those that it refused.
    broken: int = 0
    # Requests that came over HTTP/1.1 with the wish to go on with HTTP/2.
    upgrades: int = 0
    closed_door: bool = False

    def __enter__(self):
        self.loop = asyncio.new_event_loop()
        context = None
        if self.certificate:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(self.certificate, self.key)
            context.set_alpn_protocols(["h2"])
        self.server = self.loop.run_until_complete(
            self.loop.create_server(lambda: Connection(self), "127.0.0.1", 0, ssl=context, backlog=256))
        self.port = self.server.sockets[0].getsockname()[1]
        self.thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join(10)

    def call(self, function, *arguments):
        """Runs it on the server's thread."""
        self.loop.call_soon_threadsafe(function, *arguments)

    @property
    def endpoint(self):
        return f"{'https' if self.certificate else 'http'}://localhost:{self.port}"
