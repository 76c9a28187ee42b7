"""Folds events into the online store: poll, parse, fold and write, dead letters, commit, always in that order.

The online store is the only state. Offsets are committed after the write and the fold takes an event once, so a batch
that comes again after a crash changes nothing.
"""

import gc
import logging
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

from kafka import TopicPartition

from feature_repo.errors import OnlineStoreError, StoreBehindError
from feature_repo.feature_store import apply
from feature_repo.online.redis_rows import RedisRows
from feature_repo.online.rows import Sending
from feature_repo.schema import Event, EventType
from streaming.dead_letters.letters import DeadLetters, Rejected
from streaming.erasures import REFRESH_SECONDS, Erasures
from streaming.errors import EventError, KafkaFailedError
from streaming.events.parser import EventParser
from streaming.kafka.batches import Batch
from streaming.kafka.consumer import POLL_MS, PatientConsumer
from streaming.kafka.member import describe, place_of
from streaming.kafka.topics import ensure_topics
from streaming.sessions.batches import Applied, EventBatch
from streaming.sessions.folding import OnlineFold
from streaming.settings import StreamingSettings
from streaming.stage.metrics import Result, StreamingMetrics
from streaming.stage.run import Stage, run_stage
from streaming.stage.shutdown import stop_on_signals

log = logging.getLogger(__name__)

_COLLECT_SECONDS = 60.0
"""Between two searches for cycles, which libraries leave behind; one takes some hundredths of a second."""


def run_consumer(settings: StreamingSettings, stop: threading.Event | None = None) -> None:
    """Consume until `stop` is set, or without one until SIGTERM or SIGINT; the batch in hand is finished first.

    Raises KafkaUnavailableError if no broker answers at start, MetricsPortError if the metrics' port is taken.
    """
    stop = stop or stop_on_signals()
    topic_id = ensure_topics(settings)[settings.events_topic]
    apply(settings)
    with _collecting_garbage_rarely():
        run_stage(settings, lambda metrics: Consumer(settings, topic_id, metrics), stop)


@contextmanager
def _collecting_garbage_rarely() -> Iterator[None]:
    """Leave it to `Consumer.step`: sessions at hand are many long-lived objects without cycles, and every batch makes
    and drops so many more that looking through them, again and again, took a tenth of the time.
    """
    gc.collect()
    gc.freeze()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
        gc.unfreeze()


class Consumer(Stage):
    """One member of the consumer group. For one thread.

    While there is a backlog, the next batch is polled and parsed while the store still takes the one before.
    """

    def __init__(self, settings: StreamingSettings, topic_id: str, metrics: StreamingMetrics) -> None:
        super().__init__(PatientConsumer(settings, settings.consumer_group, [settings.events_topic]), metrics)
        self._topic_id = topic_id
        self._full_batch = settings.consumer_batch_size
        self._parser = EventParser()
        self._rows = RedisRows(settings)
        self._fold = OnlineFold(self._rows, settings)
        self._dead_letters = DeadLetters(settings)
        self._erasures = Erasures(settings)
        self._sent: Sent | None = None
        self._collected_at = time.monotonic()

    def step(self) -> None:
        """Wait for the next batch, shortly, and handle it; one that the store does not take comes again."""
        batch = self._kafka.poll(0 if self._sent else POLL_MS)
        revoked = self._kafka.take_revoked()
        with self._trying_again(batch.starts_at):
            erased = bool(batch) and self._erasures.refresh(REFRESH_SECONDS)
            parsed = self._parse(batch)
            self._finish()
            if revoked:
                self._fold.forget(partition.partition for partition in revoked)
            if erased:
                self._fold.forget_all()
            if batch:
                self._send(batch, parsed)
                if len(batch) < self._full_batch:
                    self._finish()
            else:
                self._commit({})
                self._check_store()
        self._metrics.paused.set(self.is_paused)
        self._metrics.lag.observe(self._kafka.kafka)
        if time.monotonic() - self._collected_at > _COLLECT_SECONDS:
            gc.collect()
            self._collected_at = time.monotonic()

    def finish(self) -> None:
        """Wait for the store to have what was sent; if it has not, that comes again to whoever is next."""
        with self._trying_again({}):
            self._finish()

    def close(self) -> None:
        """Leave the group and give connections back."""
        self._kafka.close()
        self._erasures.close()
        self._dead_letters.close()
        self._rows.close()
        log.info("consumer stopped")

    @contextmanager
    def _trying_again(self, starts_at: Mapping[TopicPartition, int]) -> Iterator[None]:
        unwritten = {**starts_at, **self._sent.batch.starts_at} if self._sent else starts_at
        try:
            yield
        except (OnlineStoreError, KafkaFailedError) as error:
            if self._sent:
                self._sent = None
                self._fold.forget_all()
            if isinstance(error, StoreBehindError):
                self._kafka.go_back(unwritten, error.positions)
                return
            self._metrics.retries.inc()
            self._kafka.retry_later(unwritten, error)

    def _send(self, batch: Batch, parsed: "Parsed") -> None:
        started = time.perf_counter()
        sending = self._fold.send(parsed.batches)
        self._sent = Sent(batch, parsed, sending, parsed.seconds + time.perf_counter() - started)

    def _finish(self) -> None:
        """See through what was sent: the store has it, then dead letters, then the commit."""
        if not (sent := self._sent):
            return
        applied = sent.sending.wait()
        self._metrics.fold_seconds.observe(sent.seconds)
        self._observe(sent.parsed, applied)
        if sent.parsed.rejected:
            self._reject(sent.parsed.rejected)
        self._sent = None
        offsets = sent.batch.next_offsets
        self._commit(offsets)
        self._metrics.lag.handled(sent.batch)
        rejected = len(sent.parsed.rejected)
        log.debug("%d written, %d rejected up to %s", applied.new.total(), rejected, describe(offsets))

    def _commit(self, offsets: Mapping[TopicPartition, int]) -> None:
        if not self._kafka.commit_soon(offsets):
            self._fold.forget_all()

    def _check_store(self) -> None:
        """It may have lost what it had, and otherwise that would show with the next event only."""
        if places := self._kafka.idle_places():
            self._fold.check([EventBatch(self._topic_id, of.partition, at, at) for of, at in places.items()])

    def _parse(self, batch: Batch) -> "Parsed":
        started = time.perf_counter()
        parse = self._parser.parse_record
        erasures = self._erasures or None
        parsed = Parsed()
        for partition, records in batch.records.items():
            events: list[tuple[int, Event]] = []
            for record in records:
                try:
                    event = parse(record)
                except EventError as error:
                    parsed.rejected.append((record, error))
                    continue
                if erasures and erasures.is_erased(event):
                    parsed.dropped[event.event_type] += 1
                    continue
                events.append((record.offset, event))
                parsed.arrived_ms.append(record.timestamp)
            starts_at, end = batch.starts_at[partition], records[-1].offset + 1
            parsed.batches.append(EventBatch(self._topic_id, partition.partition, starts_at, end, events))
        parsed.seconds = time.perf_counter() - started
        return parsed

    def _reject(self, rejected: Rejected) -> None:
        self._dead_letters.send(rejected)
        self._metrics.count_rejected([error for _, error in rejected])
        record, error = rejected[0]
        place = place_of(record)
        log.warning(
            "%d messages are no valid events, first %s: %s", len(rejected), place, error, extra={"place": place}
        )

    def _observe(self, parsed: "Parsed", applied: Applied) -> None:
        metrics = self._metrics
        metrics.observe_visible(parsed.arrived_ms, time.time() * 1000)
        metrics.write_seconds.observe(applied.write_seconds)
        metrics.count_events(Result.WRITTEN, applied.new)
        metrics.count_events(Result.DUPLICATE, applied.repeated)
        metrics.count_events(Result.DROPPED, parsed.dropped)
        metrics.count_hot_sessions(applied.hot, applied.cold)
        metrics.batch_rows.observe(len(parsed.arrived_ms) + parsed.dropped.total() + len(parsed.rejected))
        metrics.unknown_fields.inc(self._parser.unknown_fields)
        self._parser.unknown_fields = 0


@dataclass(slots=True)
class Parsed:
    """What the messages of a batch turned out to be."""

    batches: list[EventBatch] = field(default_factory=list)
    arrived_ms: list[int] = field(default_factory=list)
    """When the messages of these events were sent, in ms since the epoch."""
    rejected: Rejected = field(default_factory=list)
    dropped: Counter[EventType] = field(default_factory=Counter)
    """Events of people who were erased."""
    seconds: float = 0.0
    """Spent on parsing them."""


@dataclass(frozen=True, slots=True)
class Sent:
    """A batch that was sent to the store."""

    batch: Batch
    parsed: Parsed
    sending: Sending[Applied]
    seconds: float
    """Spent on it so far."""
