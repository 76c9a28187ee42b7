"""Folds events into sessions in the online store: poll, fold, write, dead letters, commit, always in that order.

The online store is the only state. Offsets are committed after the write and a fold takes an event once, so a batch
that comes again after a crash changes nothing.
"""

import logging
import threading
import time
from collections import defaultdict
from collections.abc import Callable
from contextlib import closing

from kafka import TopicPartition
from kafka.consumer.fetcher import ConsumerRecord
from kafka.errors import KafkaError

from feature_repo.feature_store import apply
from feature_repo.online_store import OnlineStoreError, OnlineStoreWriter
from feature_repo.schema import Event
from feature_repo.session import fold
from streaming.dead_letters import DeadLetters
from streaming.errors import EventError
from streaming.events import field_label, parse_keyed_event
from streaming.hot_sessions import HotSessions
from streaming.kafka_consumer import POLL_MS, RebalanceNotes, commit, describe, open_consumer
from streaming.metrics import StreamingMetrics
from streaming.settings import StreamingSettings
from streaming.shutdown import stop_on_signals
from streaming.topics import ensure_topics

log = logging.getLogger(__name__)

_FIRST_RETRY_SECONDS = 0.1
_LAST_RETRY_SECONDS = 5.0

Batch = dict[TopicPartition, list[ConsumerRecord]]


def run_consumer(settings: StreamingSettings, stop: threading.Event | None = None) -> None:
    """Consume until `stop` is set, or without one until SIGTERM or SIGINT; the batch in hand is finished first.

    Raises KafkaUnavailableError if no broker answers at start, MetricsPortError if the metrics' port is taken.
    """
    stop = stop or stop_on_signals()
    ensure_topics(settings)
    apply(settings)
    metrics = StreamingMetrics()
    with metrics.served(settings.metrics_port), closing(Consumer(settings, metrics, stop)) as consumer:
        consumer.run()


class Consumer:
    """One member of the consumer group. For one thread; `stop` may be set from any."""

    def __init__(self, settings: StreamingSettings, metrics: StreamingMetrics, stop: threading.Event) -> None:
        self._metrics = metrics
        self._stop = stop
        self._store = OnlineStoreWriter(settings)
        self._hot = HotSessions(settings.hot_sessions)
        self._dead_letters = DeadLetters(settings)
        self._rebalances = RebalanceNotes()
        self._kafka = open_consumer(settings, settings.consumer_group)
        self._kafka.subscribe([settings.events_topic], listener=self._rebalances)
        log.info("consuming %s as %s", settings.events_topic, settings.consumer_group)

    def run(self) -> None:
        """Handle batches until stopped."""
        while not self._stop.is_set():
            batch = self._kafka.poll(timeout_ms=POLL_MS)
            self._forget(self._rebalances.take_revoked())
            if batch:
                self._handle(batch)

    def close(self) -> None:
        """Leave the group and give connections back. Nothing is in hand between two batches."""
        self._kafka.close(autocommit=False, timeout_ms=5000)
        self._dead_letters.close()
        self._store.close()
        log.info("consumer stopped")

    def _handle(self, batch: Batch) -> None:
        accepted, rejected = _parse(batch)
        if not self._insist("online store", lambda: self._fold_and_write(accepted)):
            return
        if rejected and not self._insist("dead letter topic", lambda: self._dead_letters.send(rejected)):
            return
        next_offsets = {partition: records[-1].offset + 1 for partition, records in batch.items()}
        if not commit(self._kafka, next_offsets):
            self._hot.clear()
        self._count(accepted, rejected)
        if rejected:
            record, error = rejected[0]
            place = f"{record.topic}[{record.partition}]@{record.offset}"
            log.warning("%d messages are no valid events, first %s: %s", len(rejected), place, error)
        log.debug("%d written, %d rejected up to %s", len(accepted), len(rejected), describe(next_offsets))

    def _fold_and_write(self, accepted: list[tuple[ConsumerRecord, Event]]) -> None:
        """Idempotent: nothing is remembered unless all of it is written."""
        events_of: dict[str, list[Event]] = defaultdict(list)
        partition_of: dict[str, int] = {}
        for record, event in accepted:
            events_of[event.session_id].append(event)
            partition_of[event.session_id] = record.partition
        known = self._hot.get(events_of)
        known |= self._store.read_sessions(events_of.keys() - known.keys())
        folded = [fold(known.get(session_id), events) for session_id, events in events_of.items()]
        changed = [session for session in folded if session != known.get(session.session_id)]
        with self._metrics.write_seconds.time():
            self._store.write_sessions(changed)
        self._hot.put(folded, partition_of)

    def _insist(self, what: str, action: Callable[[], None]) -> bool:
        """Try until it works; False if told to stop before that, then the batch stays uncommitted."""
        delay = _FIRST_RETRY_SECONDS
        while True:
            try:
                action()
                return True
            except (OnlineStoreError, KafkaError) as error:
                log.error("%s does not take the batch, next try in %.1f s: %s", what, delay, error)
                self._metrics.retries.inc()
            if self._stop.wait(delay):
                log.warning("stopped with a batch in hand: it stays uncommitted and will be read again")
                return False
            delay = min(2 * delay, _LAST_RETRY_SECONDS)

    def _forget(self, revoked: set[TopicPartition]) -> None:
        if revoked:
            self._hot.drop({partition.partition for partition in revoked})

    def _count(
        self, accepted: list[tuple[ConsumerRecord, Event]], rejected: list[tuple[ConsumerRecord, EventError]]
    ) -> None:
        now_ms = time.time() * 1000
        for record, event in accepted:
            self._metrics.events.labels(event.event_type, "written").inc()
            self._metrics.visible_seconds.observe(max(0.0, now_ms - record.timestamp) / 1000)
        for _, error in rejected:
            self._metrics.events.labels("", "rejected").inc()
            self._metrics.dead_letters.labels(field_label(error.field)).inc()
        self._metrics.batch_rows.observe(len(accepted) + len(rejected))


def _parse(batch: Batch) -> tuple[list[tuple[ConsumerRecord, Event]], list[tuple[ConsumerRecord, EventError]]]:
    accepted, rejected = [], []
    for records in batch.values():
        for record in records:
            try:
                accepted.append((record, parse_keyed_event(record.key, record.value)))
            except EventError as error:
                rejected.append((record, error))
    return accepted, rejected
