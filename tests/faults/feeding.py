"""Produces a planted stream, not all at once: whoever reads it is never far behind nor ever done before the end."""

from collections import Counter
from collections.abc import Sequence

from kafka import KafkaProducer

from streaming.settings import StreamingSettings
from tests.support.planted_stream import PARTITIONS, Message

_AT_ONCE = 500


class Feeder:
    """Sends messages in their order to their partitions of the events topic."""

    def __init__(self, settings: StreamingSettings, messages: Sequence[Message]) -> None:
        self._settings = settings
        self._messages = messages
        self.sent = 0
        self.open()

    def open(self) -> None:
        """Connect, again after `close`."""
        self._producer = KafkaProducer(bootstrap_servers=self._settings.kafka_bootstrap_servers, linger_ms=5)

    @property
    def is_done(self) -> bool:
        """Whether all messages were sent."""
        return self.sent == len(self._messages)

    def feed(self, until: int) -> None:
        """Send some more, up to the message of this number."""
        for message in self._messages[self.sent : min(until, self.sent + _AT_ONCE)]:
            self._producer.send(
                self._settings.events_topic,
                key=message.key,
                value=message.value,
                headers=list(message.headers),
                partition=message.partition,
                timestamp_ms=message.timestamp_ms,
            )
            self.sent += 1

    def feed_all(self, until: int) -> None:
        """Send all up to the message of this number; returns once the broker has them."""
        while self.sent < min(until, len(self._messages)):
            self.feed(until)
        self.flush()

    def flush(self) -> None:
        """Returns once the broker has all that was sent."""
        self._producer.flush(timeout=60)

    def close(self) -> None:
        """End the producer's thread; returns once the broker has all that was sent."""
        self._producer.close()


def with_offsets(messages: Sequence[Message]) -> list[tuple[int, int, Message]]:
    """Partition and offset of each message, all of a topic being sent in this order."""
    seen: Counter[int] = Counter()
    found = []
    for message in messages:
        found.append((message.partition, seen[message.partition], message))
        seen[message.partition] += 1
    return found


def ends_of(messages: Sequence[Message]) -> list[int]:
    """Offsets after the last message, by partition."""
    counts = Counter(message.partition for message in messages)
    return [counts[partition] for partition in range(PARTITIONS)]
