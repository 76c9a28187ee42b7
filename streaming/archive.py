"""Appends every event to the Parquet archive: buffer, write, commit. A group of its own, beside the consumer.

Messages that are no valid events are only counted here: the consumer keeps them as dead letters.
"""

import logging
import threading
import time
from contextlib import closing
from dataclasses import dataclass, field

from kafka import TopicPartition
from kafka.consumer.fetcher import ConsumerRecord

from feature_repo.schema import Event
from streaming.archive_files import OffsetRange, remove_uncommitted, write_events
from streaming.errors import EventError
from streaming.events import parse_keyed_event
from streaming.kafka_consumer import POLL_MS, RebalanceNotes, commit, describe, open_consumer
from streaming.metrics import StreamingMetrics
from streaming.settings import StreamingSettings
from streaming.shutdown import stop_on_signals
from streaming.topics import ensure_topics

log = logging.getLogger(__name__)


@dataclass(slots=True)
class Buffer:
    """Events of one partition that are not written yet, and the offsets they span."""

    first: int
    end: int
    events: list[Event] = field(default_factory=list)


def run_archive(settings: StreamingSettings, stop: threading.Event | None = None) -> None:
    """Archive until `stop` is set, or without one until SIGTERM or SIGINT; what is buffered is written first.

    Raises KafkaUnavailableError if no broker answers at start, MetricsPortError if the metrics' port is taken, OSError
    if the folder cannot be written.
    """
    stop = stop or stop_on_signals()
    topic_id = ensure_topics(settings)[settings.events_topic]
    metrics = StreamingMetrics()
    with (
        metrics.served(settings.metrics_port),
        closing(Archive(settings, topic_id, metrics, stop)) as archive,
    ):
        archive.run()


class Archive:
    """One member of the archive group. For one thread; `stop` may be set from any."""

    def __init__(
        self, settings: StreamingSettings, topic_id: str, metrics: StreamingMetrics, stop: threading.Event
    ) -> None:
        self._settings = settings
        self._topic_id = topic_id
        self._metrics = metrics
        self._stop = stop
        self._buffers: dict[TopicPartition, Buffer] = {}
        self._cleaned: set[TopicPartition] = set()
        self._flush_at = 0.0
        self._rebalances = RebalanceNotes()
        self._kafka = open_consumer(settings, settings.archive_group)
        self._kafka.subscribe([settings.events_topic], listener=self._rebalances)
        log.info("archiving %s as %s", settings.events_topic, settings.archive_group)

    def run(self) -> None:
        """Buffer and flush until stopped, then flush once more."""
        while not self._stop.is_set():
            batch = self._kafka.poll(timeout_ms=POLL_MS)
            self._forget(self._rebalances.take_revoked())
            for partition, records in batch.items():
                self._buffer(partition, records)
            if self._is_due():
                self._flush()
        self._flush()

    def close(self) -> None:
        """Leave the group; what is not flushed is read again."""
        self._kafka.close(autocommit=False, timeout_ms=5000)
        log.info("archive stopped")

    def _buffer(self, partition: TopicPartition, records: list[ConsumerRecord]) -> None:
        first = records[0].offset
        if partition not in self._cleaned:
            remove_uncommitted(self._settings.archive_path, self._topic_id, partition.partition, first)
            self._cleaned.add(partition)
        if not self._buffers:
            self._flush_at = time.monotonic() + self._settings.archive_flush_seconds
        buffer = self._buffers.setdefault(partition, Buffer(first, first))
        buffer.end = records[-1].offset + 1
        for record in records:
            try:
                buffer.events.append(parse_keyed_event(record.key, record.value))
            except EventError:
                self._metrics.events.labels("", "rejected").inc()

    def _is_due(self) -> bool:
        rows = sum(len(buffer.events) for buffer in self._buffers.values())
        return bool(self._buffers) and (rows >= self._settings.archive_flush_rows or time.monotonic() >= self._flush_at)

    def _flush(self) -> None:
        if not self._buffers:
            return
        with self._metrics.write_seconds.time():
            for partition, buffer in self._buffers.items():
                offsets = OffsetRange(self._topic_id, partition.partition, buffer.first, buffer.end)
                write_events(self._settings.archive_path, buffer.events, offsets)
        next_offsets = {partition: buffer.end for partition, buffer in self._buffers.items()}
        if commit(self._kafka, next_offsets):
            self._count()
        log.debug("archived up to %s", describe(next_offsets))
        self._buffers.clear()

    def _count(self) -> None:
        events = [event for buffer in self._buffers.values() for event in buffer.events]
        for event in events:
            self._metrics.events.labels(event.event_type, "written").inc()
        self._metrics.batch_rows.observe(len(events))

    def _forget(self, revoked: set[TopicPartition]) -> None:
        """Whoever owns the partition next starts from the committed offset, so its buffered events come again there."""
        for partition in revoked:
            self._buffers.pop(partition, None)
            self._cleaned.discard(partition)
