"""The official Python publisher: so many messages, and what they cost. Prints a line of JSON.

    python_publisher.py TOPIC MESSAGES BATCH BYTES
"""

import json
import os
import sys
import time

from google.auth.credentials import AnonymousCredentials
from google.cloud import pubsub_v1

topic, messages, batch, size = sys.argv[1], *map(int, sys.argv[2:5])
# Without PUBLISHER_ENDPOINT it is the emulator's.
endpoint = os.environ.get("PUBLISHER_ENDPOINT")
more = {"client_options": {"api_endpoint": endpoint}, "credentials": AnonymousCredentials()} if endpoint else {}
client = pubsub_v1.PublisherClient(**more, batch_settings=pubsub_v1.types.BatchSettings(max_messages=batch, max_bytes=9_000_000, max_latency=0.1))
data = b"x" * size
client.publish(topic, data).result()
begun, processor = time.monotonic(), time.process_time()
futures = [client.publish(topic, data) for _ in range(messages)]
for future in futures:
    future.result()
span, used = time.monotonic() - begun, time.process_time() - processor
print(json.dumps({"messagesPerSecond": round(messages / span), "microsecondsPerMessage": round(used * 1e6 / messages, 2)}))
