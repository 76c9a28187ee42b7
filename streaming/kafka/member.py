"""What a member of a consumer group is opened with, and what it knows of its partitions."""

import logging
from collections.abc import Collection, Mapping
from contextlib import suppress
from typing import Any

from kafka import KafkaConsumer, TopicPartition
from kafka.consumer.fetcher import ConsumerRecord
from kafka.errors import (
    CommitFailedError,
    FencedInstanceIdError,
    IllegalGenerationError,
    KafkaError,
    RebalanceInProgressError,
    UnknownMemberIdError,
)
from kafka.structs import OffsetAndMetadata

from streaming.kafka.connection import kafka_options
from streaming.kafka.failures import open_client
from streaming.kafka.records import unpack_quickly
from streaming.settings import StreamingSettings

log = logging.getLogger(__name__)

SESSION_TIMEOUT_MS = 10_000
"""Silence after which the partitions of a killed member go to the others, or to its successor."""

HEARTBEAT_MS = 1_000
"""Between signs of life; members learn by the answer that another one has joined, and until then it has no work."""

_FETCH_BYTES = 2 * 1024 * 1024
"""Of all partitions in one answer, which is the greater part of what a consumer's memory grows by while its store is
slow. Half of it costs a tenth of the speed, as batches are full less often.
"""

_ASK_MS = 500

_FENCED = (
    CommitFailedError,
    FencedInstanceIdError,
    IllegalGenerationError,
    RebalanceInProgressError,
    UnknownMemberIdError,
)


def consumer_options(settings: StreamingSettings, group: str) -> dict[str, Any]:
    """What a member of the group gives kafka-python's `KafkaConsumer`."""
    return {
        **kafka_options(settings),
        "group_id": group,
        "group_instance_id": settings.consumer_instance_id or None,
        "client_id": group,
        "enable_auto_commit": False,
        "auto_offset_reset": "earliest",
        "max_poll_records": settings.consumer_batch_size,
        "fetch_min_bytes": 1,
        "fetch_max_bytes": _FETCH_BYTES,
        "isolation_level": "read_committed",  # what a transaction took back never happened
        "session_timeout_ms": SESSION_TIMEOUT_MS,
        "heartbeat_interval_ms": HEARTBEAT_MS,
        "max_poll_interval_ms": settings.max_poll_interval_ms,
    }


def open_consumer(settings: StreamingSettings, group: str, **others: Any) -> KafkaConsumer:
    """A consumer of the group, not subscribed yet. Raises KafkaUnavailableError if no broker answers."""
    return unpack_quickly(open_client(settings, KafkaConsumer, **(consumer_options(settings, group) | others)))


def commit(consumer: KafkaConsumer, offsets: dict[TopicPartition, int]) -> bool:
    """Commit the next offset to read of each partition; False if they are no longer ours, so that they come again."""
    try:
        consumer.commit({partition: OffsetAndMetadata(offset, "", -1) for partition, offset in offsets.items()})
    except _FENCED as error:
        place = describe(offsets)
        log.warning("not committed, the group has moved on: %s: %s", place, error, extra={"place": place})
        return False
    return True


def describe(offsets: Mapping[TopicPartition, int]) -> str:
    """`topic[partition]@offset` for log lines."""
    return ", ".join(
        f"{partition.topic}[{partition.partition}]@{offset}" for partition, offset in sorted(offsets.items())
    )


def place_of(record: ConsumerRecord) -> str:
    """`topic[partition]@offset` of one message, for log lines."""
    return describe({TopicPartition(record.topic, record.partition): record.offset})


def position(consumer: KafkaConsumer, partition: TopicPartition) -> int | None:
    """The next message to read of an assigned partition, None while that is not known. Asks nobody."""
    state = consumer._subscription.assignment.get(partition)
    return state.position.offset if state and state.position else None


def ends(consumer: KafkaConsumer, partitions: Collection[TopicPartition]) -> dict[TopicPartition, int]:
    """Where partitions end, as their last fetch told; those that are paused are not fetched, so the broker is asked."""
    known = {partition: consumer.highwater(partition) for partition in partitions}
    paused = [partition for partition in consumer.paused() if partition in known]
    if paused:
        with suppress(KafkaError):  # then the last known end stands, which is a lower bound
            known |= consumer.end_offsets(paused, timeout_ms=_ASK_MS)
    return {partition: end for partition, end in known.items() if end is not None}
