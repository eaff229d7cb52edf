"""Receives from a subscription of Google Cloud Pub/Sub with the official client."""

import concurrent.futures
import logging
import threading
import time
from typing import Callable

from google.cloud import pubsub_v1

from .message import Message, UnreadableMessage
from .reader import MarketReader, Reading

log = logging.getLogger(__name__)


class MarketSubscriber:
    """Calls `handler` with each `Reading`, from one thread at a time. A message is acknowledged when the handler has
    returned with all its events, so what a crash interrupts is delivered again. The subscription should have been made with
    `enable_message_ordering`; without it events are put in order all the same, they only wait longer for each other.

    An exception in the handler ends the subscription, and `wait()` raises it: nothing of that reading is acknowledged,
    and a new subscriber begins with it.

    `on_error(message, error)` gets what cannot be read. It is not acknowledged: give the subscription a dead-letter
    policy, or it will come again and again.

    PUBSUB_EMULATOR_HOST and the usual credentials are obeyed."""

    def __init__(
        self, subscription: str, handler: Callable[[Reading], None], reader: MarketReader | None = None,
        on_error: Callable[[Message, Exception], None] | None = None, client: pubsub_v1.SubscriberClient | None = None,
        **options,
    ):
        """`subscription`: projects/P/subscriptions/S. `options` go to `SubscriberClient.subscribe`."""
        self.subscription = subscription
        self.reader = reader or MarketReader()
        self._handler, self._on_error = handler, on_error
        self._lock = threading.Lock()
        self._owns_client = client is None
        self._client = client or pubsub_v1.SubscriberClient()
        self._ended = threading.Event()
        self._failure: Exception | None = None
        self._clock = threading.Thread(target=self._tick, name="market-reader-clock", daemon=True)
        self._clock.start()
        # What waits for others is not acknowledged, so as many must be let in as may wait: else the client would hold back the
        # very message that they wait for.
        options.setdefault(
            "flow_control",
            pubsub_v1.types.FlowControl(max_messages=self.reader.max_held, max_bytes=512 << 20))
        self.future = self._client.subscribe(subscription, callback=self._receive, **options)

    def _receive(self, received):
        message = Message(received.data, dict(received.attributes), received.ordering_key)
        try:
            with self._lock:
                if self._failure is None:
                    self._hand_on(self.reader.read(message, self.subscription, token=received))
        except UnreadableMessage as error:
            received.nack()
            if self._on_error:
                self._on_error(message, error)
            else:
                log.error("%s: message %s: %s", self.subscription, received.message_id, error)

    def _tick(self):
        while not self._ended.wait(1.0):
            with self._lock:
                if self._failure is None:
                    self._hand_on(self.reader.expire())

    def _hand_on(self, reading: Reading):
        if reading.events or reading.missing:
            try:
                self._handler(reading)
            except Exception as error:
                # The reader has moved on, so what comes again would pass for a repeat: it must not be asked again.
                self._failure = error
                self._ended.set()
                return
        for received in reading.done:
            received.ack()

    def wait(self, timeout: float | None = None) -> bool:
        """Until the subscription ends; False where it goes on after `timeout` seconds. Raises what ended it."""
        deadline = None if timeout is None else time.monotonic() + timeout
        while not self._ended.is_set() and not self.future.done():
            if deadline is not None and time.monotonic() >= deadline:
                return False
            self._ended.wait(0.1)
        if self._failure is not None:
            raise self._failure
        if self.future.done():
            self.future.result()
        return True

    def close(self, timeout: float = 30):
        """Ends the subscription. What waits unacknowledged is delivered again to the next subscriber."""
        self._ended.set()
        self.future.cancel()
        try:
            self.future.result(timeout=timeout)
        except concurrent.futures.TimeoutError:
            # The client library's threads are daemons: they keep nothing from ending.
            log.warning("%s: the streaming pull did not end within %s s", self.subscription, timeout)
        finally:
            self._clock.join(timeout)
            if self._owns_client:
                self._client.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
