"""The official Python client: topics and subscriptions made first, then streaming pull with ordering."""

import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor

from delivery import Message


class Subscriber:
    """Receives everything published to some topics, in the order in which the client library delivers it."""

    # Streams of one channel; a gRPC server may limit them.
    PER_CLIENT = 40

    def __init__(self, emulator_host: str, project: str, topics: list[str]):
        os.environ["PUBSUB_EMULATOR_HOST"] = emulator_host
        from google.cloud import pubsub_v1
        from google.cloud.pubsub_v1.subscriber.scheduler import ThreadScheduler

        self.messages: list[Message] = []
        self.redelivered = 0
        self.events = 0
        self._seen: set[tuple[str, str]] = set()
        self._lock = threading.Lock()
        self._futures = []
        publisher = pubsub_v1.PublisherClient()
        maker = pubsub_v1.SubscriberClient()
        pairs = []
        for number, topic in enumerate(topics):
            path = publisher.topic_path(project, topic)
            publisher.create_topic(request={"name": path})
            subscription = maker.subscription_path(project, f"subscription-{number}")
            maker.create_subscription(
                request={
                    "name": subscription, "topic": path, "enable_message_ordering": True, "ack_deadline_seconds": 60,
                })
            pairs.append((topic, subscription))
        flow = pubsub_v1.types.FlowControl(max_messages=5000, max_bytes=200 << 20)
        self._clients = [maker]
        for start in range(0, len(pairs), self.PER_CLIENT):
            client = pubsub_v1.SubscriberClient()
            self._clients.append(client)
            for topic, subscription in pairs[start:start + self.PER_CLIENT]:
                scheduler = ThreadScheduler(ThreadPoolExecutor(max_workers=2))
                self._futures.append(
                    client.subscribe(
                        subscription, callback=self._callback(topic), flow_control=flow, scheduler=scheduler))

    def _callback(self, topic: str):
        def receive(message):
            with self._lock:
                key = (topic, message.message_id)
                if key in self._seen:
                    # The service may deliver a message again; published twice it would have another id.
                    self.redelivered += 1
                else:
                    self._seen.add(key)
                    self.messages.append(
                        Message(
                            topic, message.message_id, message.data, dict(message.attributes), message.ordering_key))
                    self.events += int(message.attributes.get("count", "1"))
            message.ack()

        return receive

    def wait_events(self, count: int, seconds: float, settle: float = 1.0):
        """Waits for so many events, and a while longer for any too many. Does not judge: the comparison does."""
        deadline = time.monotonic() + seconds
        while self.events < count and time.monotonic() < deadline:
            time.sleep(0.1)
        time.sleep(settle)

    def close(self):
        for future in self._futures:
            future.cancel()
        for future in self._futures:
            try:
                future.result(timeout=10)
            except Exception:
                pass  # a stream that was cancelled, or whose server is gone
        for client in self._clients:
            client.close()
