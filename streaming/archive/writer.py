"""Appends every event to the Parquet archive: buffer, write, commit. A group of its own, beside the consumer.

Messages that are no valid events are only counted here: the consumer keeps them as dead letters. A write that fails or
whose commit is lost is done again, up to the same offsets and hence under the same names.
"""

import logging
import threading
import time
from collections import Counter, deque
from dataclasses import dataclass, field

from kafka import TopicPartition
from kafka.consumer.fetcher import ConsumerRecord

from feature_repo.archive.folder import open_archive
from feature_repo.archive.names import OffsetRange
from feature_repo.errors import ArchiveError
from feature_repo.schema import Event
from streaming.archive.files import unfinished_ends, write_events
from streaming.erasures import REFRESH_SECONDS, Erasures
from streaming.errors import EventError, KafkaFailedError
from streaming.events.parser import EventParser
from streaming.kafka.batches import Batch
from streaming.kafka.consumer import PatientConsumer
from streaming.kafka.member import describe
from streaming.kafka.topics import ensure_topics
from streaming.settings import StreamingSettings
from streaming.stage.metrics import Result, StreamingMetrics
from streaming.stage.run import Stage, run_stage
from streaming.stage.shutdown import stop_on_signals

log = logging.getLogger(__name__)


_MOST_REPEATED = 200_000
"""Offsets that one buffer spans, at most, to write an unfinished file again."""


@dataclass(slots=True)
class Buffer:
    """Events of one partition that are not written yet, and the offsets they span."""

    partition: TopicPartition
    first: ConsumerRecord
    end: int
    until: int | None = None
    """Where an unfinished file ends that this one replaces."""
    events: list[tuple[int, Event]] = field(default_factory=list)

    @property
    def is_complete(self) -> bool:
        """Whether nothing may be added."""
        return self.until is not None and self.end >= self.until

    @property
    def is_ready(self) -> bool:
        """Whether it may be written."""
        return self.until is None or self.is_complete

    def drop(self, erasures: Erasures) -> None:
        """Leave out the events of people who were erased."""
        if erasures:
            self.events = [pair for pair in self.events if not erasures.is_erased(pair[1])]


def run_archive(settings: StreamingSettings, stop: threading.Event | None = None) -> None:
    """Archive until `stop` is set, or without one until SIGTERM or SIGINT; what is buffered is written first.

    Raises KafkaUnavailableError if no broker answers at start, MetricsPortError if the metrics' port is taken,
    ArchiveError if ARCHIVE_PATH is of a kind that cannot be opened.
    """
    stop = stop or stop_on_signals()
    topic_id = ensure_topics(settings)[settings.events_topic]
    run_stage(settings, lambda metrics: Archive(settings, topic_id, metrics), stop)


class Archive(Stage):
    """One member of the archive group. For one thread."""

    def __init__(self, settings: StreamingSettings, topic_id: str, metrics: StreamingMetrics) -> None:
        super().__init__(PatientConsumer(settings, settings.archive_group, [settings.events_topic]), metrics)
        self._settings = settings
        self._topic_id = topic_id
        self._folder = open_archive(settings.archive_path)
        self._parser = EventParser()
        self._buffers: dict[TopicPartition, list[Buffer]] = {}
        self._ends: dict[TopicPartition, deque[int]] = {}
        """Where files end that were written but never committed, of partitions that records have come from."""
        self._flush_at = 0.0
        self._erasures = Erasures(settings)

    @property
    def buffered_events(self) -> int:
        """Events in memory that are not written yet."""
        return sum(len(buffer.events) for buffers in self._buffers.values() for buffer in buffers)

    def step(self) -> None:
        """Wait for the next records, shortly, and write what is due."""
        batch = self._kafka.poll()
        self._forget(self._kafka.take_revoked())
        try:
            self._find_unfinished(batch)
            for partition, records in batch.records.items():
                self._buffer(partition, records)
            self._metrics.lag.handled(batch)
            if self._is_due():
                self._flush()
        except (ArchiveError, KafkaFailedError) as error:
            self._start_over(batch, error)
        self._metrics.paused.set(self.is_paused)
        unwritten = {partition: buffers[0].first.offset for partition, buffers in self._buffers.items()}
        self._metrics.lag.observe(self._kafka.kafka, unwritten)

    def finish(self) -> None:
        """Write all that is buffered; if that fails it comes again to whoever archives next."""
        try:
            self._flush()
        except (ArchiveError, KafkaFailedError) as error:
            self._start_over(Batch(), error)

    def close(self) -> None:
        """Leave the group; what is not flushed is read again."""
        self._kafka.close()
        self._erasures.close()
        log.info("archive stopped")

    def _find_unfinished(self, batch: Batch) -> None:
        for partition, records in batch.records.items():
            if partition not in self._ends:
                first = records[0].offset
                ends = unfinished_ends(self._folder, self._topic_id, partition.partition, first)
                if ends:
                    log.info("%s: files were written and never committed: again", describe({partition: first}))
                self._ends[partition] = deque(ends)

    def _buffer(self, partition: TopicPartition, records: list[ConsumerRecord]) -> None:
        if not self._buffers:
            self._flush_at = time.monotonic() + self._settings.archive_flush_seconds
        buffers = self._buffers.setdefault(partition, [])
        rejected = []
        for record in records:
            if not buffers or buffers[-1].is_complete:
                buffers.append(Buffer(partition, record, record.offset, self._until(partition, record.offset)))
            buffer = buffers[-1]
            buffer.end = record.offset + 1
            try:
                buffer.events.append((record.offset, self._parser.parse_record(record)))
            except EventError as error:
                rejected.append(error)
        self._metrics.count_rejected(rejected)

    def _until(self, partition: TopicPartition, first: int) -> int | None:
        ends = self._ends[partition]
        while ends and ends[0] <= first:
            ends.popleft()
        return ends[0] if ends and ends[0] - first <= _MOST_REPEATED else None

    def _ready(self) -> list[Buffer]:
        return [buffer for buffers in self._buffers.values() for buffer in buffers if buffer.is_ready]

    def _is_due(self) -> bool:
        ready = self._ready()
        rows = sum(len(buffer.events) for buffer in ready)
        return bool(ready) and (rows >= self._settings.archive_flush_rows or time.monotonic() >= self._flush_at)

    def _flush(self) -> None:
        if not (ready := self._ready()):
            return
        self._erasures.refresh()
        with self._metrics.write_seconds.time():
            for buffer in ready:
                self._erasures.refresh(REFRESH_SECONDS)  # while the files before this one were written
                buffer.drop(self._erasures)
                offsets = OffsetRange(self._topic_id, buffer.partition.partition, buffer.first.offset, buffer.end)
                write_events(self._folder, buffer.events, offsets)
        next_offsets = {buffer.partition: buffer.end for buffer in ready}
        if self._kafka.commit(next_offsets):
            self._count([event for buffer in ready for _, event in buffer.events])
        log.debug("archived up to %s", describe(next_offsets))
        pending = {p: [buffer for buffer in buffers if not buffer.is_ready] for p, buffers in self._buffers.items()}
        self._buffers = {partition: buffers for partition, buffers in pending.items() if buffers}
        self._flush_at = time.monotonic() + self._settings.archive_flush_seconds

    def _count(self, events: list[Event]) -> None:
        self._metrics.count_events(Result.WRITTEN, Counter(event.event_type for event in events))
        self._metrics.batch_rows.observe(len(events))

    def _start_over(self, batch: Batch, error: Exception) -> None:
        """Read everything again that is not committed, so that nothing is held while the store or Kafka is away."""
        self._metrics.retries.inc()
        buffered = {partition: buffers[0].first.offset for partition, buffers in self._buffers.items()}
        self._buffers.clear()
        self._ends.clear()
        self._kafka.retry_later({**batch.starts_at, **buffered}, error)

    def _forget(self, revoked: set[TopicPartition]) -> None:
        """Whoever owns the partition next starts from the committed offset, so its buffered events come again there."""
        for partition in revoked:
            self._buffers.pop(partition, None)
            self._ends.pop(partition, None)
