"""Folds events into the online store: poll, parse, fold and write, dead letters, commit, always in that order.

The online store is the only state. Offsets are committed after the write and the fold takes an event once, so a batch
that comes again after a crash changes nothing.
"""

import gc
import logging
import threading
import time
from contextlib import closing

from kafka.consumer.fetcher import ConsumerRecord
from kafka.errors import KafkaError

from feature_repo.errors import OnlineStoreError
from feature_repo.feature_store import apply
from feature_repo.schema import Event
from streaming.dead_letters import DeadLetters
from streaming.errors import EventError
from streaming.events import EventParser, field_label
from streaming.folding import Applied, OnlineFold, PartitionBatch
from streaming.kafka_consumer import Batch, PatientConsumer, describe, next_offsets
from streaming.metrics import StreamingMetrics
from streaming.settings import StreamingSettings
from streaming.shutdown import stop_on_signals
from streaming.topics import ensure_topics

log = logging.getLogger(__name__)

Rejected = list[tuple[ConsumerRecord, EventError]]


def run_consumer(settings: StreamingSettings, stop: threading.Event | None = None) -> None:
    """Consume until `stop` is set, or without one until SIGTERM or SIGINT; the batch in hand is finished first.

    Raises KafkaUnavailableError if no broker answers at start, MetricsPortError if the metrics' port is taken.
    """
    stop = stop or stop_on_signals()
    topic_id = ensure_topics(settings)[settings.events_topic]
    apply(settings)
    _collect_garbage_rarely()
    metrics = StreamingMetrics()
    with metrics.served(settings.metrics_port), closing(Consumer(settings, topic_id, metrics)) as consumer:
        while not stop.is_set():
            consumer.step()


def _collect_garbage_rarely() -> None:
    """Sessions at hand are many long-lived objects without cycles: looking through them cost a third of the time."""
    gc.freeze()
    gc.set_threshold(100_000, 20, 100)


class Consumer:
    """One member of the consumer group. For one thread."""

    def __init__(self, settings: StreamingSettings, topic_id: str, metrics: StreamingMetrics) -> None:
        self._topic_id = topic_id
        self._metrics = metrics
        self._parser = EventParser()
        self._fold = OnlineFold(settings)
        self._dead_letters = DeadLetters(settings)
        self._kafka = PatientConsumer(settings, settings.consumer_group, [settings.events_topic])

    def step(self) -> None:
        """Wait for the next batch, shortly, and handle it."""
        batch = self._kafka.poll()
        if revoked := self._kafka.take_revoked():
            self._fold.forget(partition.partition for partition in revoked)
        if not batch:
            return
        try:
            self._handle(batch)
        except (OnlineStoreError, KafkaError) as error:
            self._metrics.retries.inc()
            self._kafka.retry_later(batch, error)

    def close(self) -> None:
        """Leave the group and give connections back. Nothing is in hand between two steps."""
        self._kafka.close()
        self._dead_letters.close()
        self._fold.close()
        log.info("consumer stopped")

    def _handle(self, batch: Batch) -> None:
        parsed, arrived_ms, rejected = self._parse(batch)
        with self._metrics.write_seconds.time():
            applied = self._fold.apply(parsed)
        self._observe(applied, arrived_ms, rejected)
        if rejected:
            self._reject(rejected)
        offsets = next_offsets(batch)
        if not self._kafka.commit(offsets):
            self._fold.forget_all()
        log.debug("%d written, %d rejected up to %s", applied.new.total(), len(rejected), describe(offsets))

    def _parse(self, batch: Batch) -> tuple[list[PartitionBatch], list[int], Rejected]:
        """Events by partition, when they arrived (ms since the epoch), and the messages that are no events."""
        parse = self._parser.parse_record
        parsed, arrived_ms, rejected = [], list[int](), Rejected()
        for partition, records in batch.items():
            events: list[tuple[int, Event]] = []
            for record in records:
                try:
                    events.append((record.offset, parse(record)))
                    arrived_ms.append(record.timestamp)
                except EventError as error:
                    rejected.append((record, error))
            parsed.append(PartitionBatch(self._topic_id, partition.partition, events, records[-1].offset + 1))
        return parsed, arrived_ms, rejected

    def _reject(self, rejected: Rejected) -> None:
        self._dead_letters.send(rejected)
        for _, error in rejected:
            self._metrics.events.labels("", "rejected").inc()
            self._metrics.dead_letters.labels(field_label(error.field)).inc()
        record, error = rejected[0]
        place = f"{record.topic}[{record.partition}]@{record.offset}"
        log.warning("%d messages are no valid events, first %s: %s", len(rejected), place, error)

    def _observe(self, applied: Applied, arrived_ms: list[int], rejected: Rejected) -> None:
        now_ms = time.time() * 1000
        for event_type, count in applied.new.items():
            self._metrics.events.labels(event_type, "written").inc(count)
        for arrived in arrived_ms:
            self._metrics.visible_seconds.observe(max(0.0, now_ms - arrived) / 1000)
        self._metrics.batch_rows.observe(len(arrived_ms) + len(rejected))
