"""Reads a topic from its first message to the newest, without a group: what is there now, and later what came since."""

import time
from collections.abc import Callable, Iterator
from typing import Any

from kafka import KafkaConsumer, TopicPartition
from kafka.consumer.fetcher import ConsumerRecord

from streaming.errors import KafkaUnavailableError
from streaming.kafka.failures import kafka_errors, open_client
from streaming.kafka.records import unpack_quickly
from streaming.kafka_settings import KafkaSettings

STALLED_SECONDS = 30.0
"""Without an answer, or without a message while there are some to read; then Kafka counts as away."""

_POLL_MS = 500

Offsets = Callable[..., dict[TopicPartition, int]]
Progress = Callable[[int, int], None]
"""Gets the messages read so far, and how many there are to read."""


class WholeTopic:
    """For one thread. Every method raises KafkaUnavailableError, or KafkaRefusedError, as Kafka's client fails."""

    def __init__(self, settings: KafkaSettings, topic: str, client: KafkaConsumer) -> None:
        self._settings = settings
        self._topic = topic
        self._client = client
        self._next: dict[TopicPartition, int] = {}
        """Where each partition that was read goes on."""

    @property
    def exists(self) -> bool:
        """Whether there is such a topic."""
        return bool(self._partitions())

    def unread(self, progress: Progress | None = None) -> Iterator[ConsumerRecord]:
        """What is there now and was not read before, partition after partition, so that a reader need hold none of it.

        Whoever stops early gets the rest with the next call.
        """
        partitions = self._partitions()
        new = [each for each in partitions if each not in self._next]
        at = self._next | self._ask(self._client.beginning_offsets, new)
        ends = self._ask(self._client.end_offsets, partitions)
        total, done = sum(max(0, ends[each] - at[each]) for each in partitions), 0
        for partition in partitions:
            for record in self._read(partition, at[partition], ends[partition]):
                if progress:
                    progress(done + record.offset + 1 - at[partition], total)
                yield record
            done += max(0, ends[partition] - at[partition])
        if progress:
            progress(total, total)

    def record_at(self, partition: int, offset: int) -> ConsumerRecord | None:
        """The message at one place; None if there is none."""
        place = TopicPartition(self._topic, partition)
        if place not in self._partitions():
            return None
        begin = self._ask(self._client.beginning_offsets, [place])[place]
        if not begin <= offset < self._ask(self._client.end_offsets, [place])[place]:
            return None
        return next(self._read(place, offset, offset + 1), None)

    def close(self) -> None:
        """Give connections back."""
        with kafka_errors(self._settings):
            self._client.close()

    def _partitions(self) -> list[TopicPartition]:
        with kafka_errors(self._settings):
            numbers = sorted(self._client.partitions_for_topic(self._topic))
        return [TopicPartition(self._topic, number) for number in numbers]

    def _ask(self, offsets: Offsets, partitions: list[TopicPartition]) -> dict[TopicPartition, int]:
        with kafka_errors(self._settings):
            return offsets(partitions, timeout_ms=STALLED_SECONDS * 1000) if partitions else {}

    def _read(self, partition: TopicPartition, first: int, end: int) -> Iterator[ConsumerRecord]:
        self._next[partition] = first
        if first < end:
            with kafka_errors(self._settings):
                self._client.assign([partition])
                self._client.seek(partition, first)
        moved_at = time.monotonic()
        while self._next[partition] < end:
            records, reached = self._poll(partition)
            if reached > self._next[partition]:
                moved_at = time.monotonic()
            elif time.monotonic() - moved_at > STALLED_SECONDS:
                raise self._stalled(partition)
            for record in records:
                if record.offset >= end:  # left to the next call
                    reached = end
                    break
                self._next[partition] = record.offset + 1
                yield record
            self._next[partition] = max(self._next[partition], reached)

    def _poll(self, partition: TopicPartition) -> tuple[list[ConsumerRecord], int]:
        """Messages, and the offset before which there are no more: compaction and transactions leave some out."""
        with kafka_errors(self._settings):
            records = self._client.poll(timeout_ms=_POLL_MS).get(partition, [])
            # The client knows no position, and says None, while it looks where a partition begins by now.
            return records, self._client.position(partition, timeout_ms=0) or 0

    def _stalled(self, partition: TopicPartition) -> KafkaUnavailableError:
        place = f"{partition.topic}[{partition.partition}]"
        reason = f"is Kafka away? ({place} cannot be read to its end)"
        return KafkaUnavailableError(self._settings.kafka_bootstrap_servers, reason)


def open_whole_topic(settings: KafkaSettings, topic: str, **options: Any) -> WholeTopic:
    """With more of the client's options. Raises KafkaUnavailableError if no broker answers."""
    client = open_client(
        settings,
        KafkaConsumer,
        group_id=None,
        enable_auto_commit=False,
        allow_auto_create_topics=False,
        auto_offset_reset="earliest",
        isolation_level="read_committed",  # what a transaction took back never happened
        **options,
    )
    return WholeTopic(settings, topic, unpack_quickly(client))
