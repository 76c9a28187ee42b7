"""What the tests of streaming share: topics and groups of their own, and a way to send messages."""

from collections.abc import Iterable, Iterator, Sequence
from uuid import uuid4

import pytest
from kafka import KafkaProducer

from feature_repo.schema import Event
from nextclick.stack.addresses import Addresses
from streaming.events.parser import event_to_json
from streaming.kafka.topics import ensure_topics
from streaming.settings import StreamingSettings
from tests.support.own_names import own_names
from tests.support.waiting import LIMIT_SECONDS


@pytest.fixture
def run_id() -> str:
    """Marks whatever a test leaves in a server that others use too."""
    return uuid4().hex[:8]


@pytest.fixture
def streaming_settings(stack: Addresses, run_id: str) -> StreamingSettings:
    """Settings with topics, which exist, and groups of this test alone."""
    settings = StreamingSettings(
        nextclick_home=stack.home,
        kafka_bootstrap_servers=stack.kafka_bootstrap_servers,
        redis_url=stack.redis_url,
        **own_names(run_id),
        topic_partitions=3,
        archive_flush_seconds=0.2,
    )
    ensure_topics(settings)
    return settings


class Sender:
    """Sends to the test's topic and returns once the broker has all of it."""

    def __init__(self, settings: StreamingSettings) -> None:
        self._topic = settings.events_topic
        self._producer = KafkaProducer(bootstrap_servers=settings.kafka_bootstrap_servers, linger_ms=5)

    def events(self, events: Iterable[Event]) -> None:
        """Events as every producer of ours sends them, each message as old as its event."""
        for event in events:
            self._producer.send(
                self._topic,
                key=event.session_id.encode(),
                value=event_to_json(event),
                timestamp_ms=event.timestamp_ms,
            )
        self._producer.flush()

    def raw(self, key: bytes | None, value: bytes | None, headers: Sequence[tuple[str, bytes]] = ()) -> None:
        """Any message, into partition 0."""
        self._producer.send(self._topic, key=key, value=value, headers=list(headers), partition=0).get(LIMIT_SECONDS)

    def close(self) -> None:
        """End the producer's thread."""
        self._producer.close()


@pytest.fixture
def sender(streaming_settings: StreamingSettings) -> Iterator[Sender]:
    """Sends to the topic of this test."""
    sender = Sender(streaming_settings)
    yield sender
    sender.close()
