"""Reads the dead letter topic, and what was sent back of it, from the first message to the newest, without a group."""

import time
from collections.abc import Callable, Iterator
from contextlib import closing

from kafka import KafkaConsumer, TopicPartition
from kafka.consumer.fetcher import ConsumerRecord
from kafka.errors import KafkaError

from streaming.dead_letters.letters import Letter, letter_of
from streaming.errors import DeadLettersError
from streaming.kafka.consumer import open_reader
from streaming.kafka.topics import DEAD_LETTER_MAX_BYTES
from streaming.settings import StreamingSettings

_STALLED_SECONDS = 30.0
_POLL_MS = 500

Progress = Callable[[int, int], None]
"""Gets the messages read so far, and how many there are to read."""


def replayed_topic(settings: StreamingSettings) -> str:
    """The compacted topic that keeps, keyed by `Letter.identity`, what was sent back."""
    return f"{settings.dead_letter_topic}.replayed"


def read_letters(settings: StreamingSettings, progress: Progress | None = None) -> Iterator[Letter]:
    """The letters that are there now, by partition in the order of their offsets.

    Raises KafkaUnavailableError, or DeadLettersError if there is no such topic or it cannot be read to its end.
    """
    with closing(_open(settings)) as kafka:
        partitions = _partitions(kafka, settings.dead_letter_topic)
        if not partitions:
            raise DeadLettersError(
                f"there is no topic {settings.dead_letter_topic}: `nextclick stream` makes it, "
                "or set DEAD_LETTER_TOPIC to yours"
            )
        yield from map(letter_of, _read(kafka, partitions, progress))


def read_letter(settings: StreamingSettings, partition: int, offset: int) -> Letter:
    """The letter at one place. Raises as `read_letters`, also if there is no letter at that place."""
    place = TopicPartition(settings.dead_letter_topic, partition)
    with closing(_open(settings)) as kafka:
        if place in _partitions(kafka, place.topic) and _holds(kafka, place, offset):
            kafka.assign([place])
            kafka.seek(place, offset)
            for record in _read_assigned(kafka, place, offset + 1):
                if record.offset == offset:
                    return letter_of(record)
    raise DeadLettersError(f"there is no dead letter at {partition}@{offset}: `nextclick dlq list` shows what there is")


def read_replayed(settings: StreamingSettings) -> set[str]:
    """Identities of the letters that were sent back; none if that never happened. Raises as `read_letters`."""
    with closing(_open(settings)) as kafka:
        partitions = _partitions(kafka, replayed_topic(settings))
        return {record.key.decode(errors="replace") for record in _read(kafka, partitions, None) if record.key}


def _open(settings: StreamingSettings) -> KafkaConsumer:
    return open_reader(settings, max_partition_fetch_bytes=DEAD_LETTER_MAX_BYTES)


def _partitions(kafka: KafkaConsumer, topic: str) -> list[TopicPartition]:
    try:
        return [TopicPartition(topic, number) for number in sorted(kafka.partitions_for_topic(topic) or ())]
    except KafkaError as error:
        raise DeadLettersError(f"topic {topic} cannot be read: {error}") from error


def _holds(kafka: KafkaConsumer, place: TopicPartition, offset: int) -> bool:
    return kafka.beginning_offsets([place])[place] <= offset < kafka.end_offsets([place])[place]


def _read(
    kafka: KafkaConsumer, partitions: list[TopicPartition], progress: Progress | None
) -> Iterator[ConsumerRecord]:
    """Partition after partition, so that a reader needs to hold none of it."""
    if not partitions:
        return
    first, end = kafka.beginning_offsets(partitions), kafka.end_offsets(partitions)
    total = sum(end[partition] - first[partition] for partition in partitions)
    done = 0
    for partition in partitions:
        kafka.assign([partition])
        kafka.seek(partition, first[partition])
        for record in _read_assigned(kafka, partition, end[partition]):
            if progress:
                progress(done + record.offset + 1 - first[partition], total)
            yield record
        done += end[partition] - first[partition]
    if progress:
        progress(total, total)


def _read_assigned(kafka: KafkaConsumer, partition: TopicPartition, end: int) -> Iterator[ConsumerRecord]:
    moved_at = time.monotonic()
    while kafka.position(partition) < end:
        batch = kafka.poll(timeout_ms=_POLL_MS).get(partition, [])
        if batch:
            moved_at = time.monotonic()
        elif time.monotonic() - moved_at > _STALLED_SECONDS:
            raise DeadLettersError(
                f"{partition.topic}[{partition.partition}] cannot be read to its end: is Kafka away?"
            )
        yield from (record for record in batch if record.offset < end)
