"""How both consumer groups read Kafka: offsets committed by hand, events seen at once, rebalances noted."""

import logging
import threading
from collections.abc import Iterable

from kafka import KafkaConsumer, TopicPartition
from kafka.consumer.subscription_state import ConsumerRebalanceListener
from kafka.errors import (
    CommitFailedError,
    FencedInstanceIdError,
    IllegalGenerationError,
    RebalanceInProgressError,
    UnknownMemberIdError,
)
from kafka.structs import OffsetAndMetadata

from streaming.settings import StreamingSettings

log = logging.getLogger(__name__)

POLL_MS = 100
"""Longest wait for events, hence also the longest until a stop is noticed. Events that are there end it at once."""

SESSION_TIMEOUT_MS = 10_000
"""Silence after which the partitions of a killed member go to the others, or to its successor."""

_FENCED = (
    CommitFailedError,
    FencedInstanceIdError,
    IllegalGenerationError,
    RebalanceInProgressError,
    UnknownMemberIdError,
)


def open_consumer(settings: StreamingSettings, group: str) -> KafkaConsumer:
    """A consumer of the group, not subscribed yet. Raises KafkaError if no broker answers."""
    return KafkaConsumer(
        bootstrap_servers=settings.kafka_bootstrap_servers,
        group_id=group,
        client_id=group,
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        max_poll_records=settings.consumer_batch_size,
        fetch_min_bytes=1,
        session_timeout_ms=SESSION_TIMEOUT_MS,
    )


def commit(consumer: KafkaConsumer, offsets: dict[TopicPartition, int]) -> bool:
    """Commit the next offset to read of each partition; False if they are no longer ours, so that they come again."""
    try:
        consumer.commit({partition: OffsetAndMetadata(offset, "", -1) for partition, offset in offsets.items()})
    except _FENCED as error:
        log.warning("not committed, the group has moved on: %s: %s", describe(offsets), error)
        return False
    return True


def describe(offsets: dict[TopicPartition, int]) -> str:
    """`topic[partition]@offset` for log lines."""
    return ", ".join(
        f"{partition.topic}[{partition.partition}]@{offset}" for partition, offset in sorted(offsets.items())
    )


class RebalanceNotes(ConsumerRebalanceListener):
    """Remembers which partitions were taken away; the loop asks after every poll, before it handles records."""

    def __init__(self) -> None:
        self._lock = threading.Lock()  # the client may call from its own thread
        self._revoked: set[TopicPartition] = set()

    def on_partitions_revoked(self, revoked: Iterable[TopicPartition]) -> None:
        """Called by the client."""
        with self._lock:
            self._revoked.update(revoked)
        log.info("partitions revoked: %s", _names(revoked))

    def on_partitions_assigned(self, assigned: Iterable[TopicPartition]) -> None:
        """Called by the client."""
        log.info("partitions assigned: %s", _names(assigned))

    def take_revoked(self) -> set[TopicPartition]:
        """Partitions revoked since the last call, even if they were assigned again in between."""
        with self._lock:
            revoked, self._revoked = self._revoked, set()
        return revoked


def _names(partitions: Iterable[TopicPartition]) -> str:
    return ", ".join(f"{topic}[{partition}]" for topic, partition in sorted(partitions)) or "none"
