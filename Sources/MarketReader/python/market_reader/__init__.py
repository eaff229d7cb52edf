"""Reads what exchange-collector publishes on Pub/Sub: unpacked, in order, each event once, holes told.

    from market_reader import Message, MarketReader

    reader = MarketReader()
    reading = reader.read(Message(data, attributes), source="my-subscription")
    for event in reading.events:
        print(event["symbol"], event["price"])          # decimals are strings with every digit
    for missing in reading.missing:
        print("never arrived:", missing)

`market_reader.pubsub` receives from a subscription of Google Cloud Pub/Sub and acknowledges what was handed on.
"""

from .gaps import Gap, GapBook
from .identity import IdentityBook
from .message import Dictionaries, Message, UnreadableMessage
from .reader import MarketReader, Reading
from .sequences import Missing, SequenceBook

__all__ = [
    "Dictionaries", "Gap", "GapBook", "IdentityBook", "MarketReader", "Message", "Missing", "Reading", "SequenceBook",
    "UnreadableMessage",
]
