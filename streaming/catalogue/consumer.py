"""Keeps the online store's items as the topic `items` says: poll, parse, write, dead letters, commit, in that order.

Offsets are committed after the write, and the store remembers how far it has come, so a batch that comes again changes
nothing and the last message of an item always wins.
"""

import logging
import threading
from collections import Counter as Tally

from prometheus_client import Counter

from feature_repo.errors import OnlineStoreError, StoreBehindError
from feature_repo.feature_store import apply
from feature_repo.online.redis_rows import RedisRows
from feature_repo.schema import MAX_TIMESTAMP_MS
from streaming.catalogue.parser import ItemParser, field_label
from streaming.catalogue.store import CatalogueBatch, CatalogueStore, Change
from streaming.dead_letters.letters import DeadLetters, Rejected
from streaming.errors import EventError, KafkaFailedError
from streaming.kafka.batches import Batch
from streaming.kafka.consumer import PatientConsumer
from streaming.kafka.member import describe, place_of
from streaming.kafka.topics import ensure_items_topic, ensure_topics
from streaming.settings import StreamingSettings
from streaming.stage.metrics import StreamingMetrics
from streaming.stage.run import Stage, run_stage
from streaming.stage.shutdown import stop_on_signals

log = logging.getLogger(__name__)


def run_catalogue(settings: StreamingSettings, stop: threading.Event | None = None) -> None:
    """Follow the topic until `stop` is set, or without one until SIGTERM or SIGINT; a batch in hand is finished first.

    Raises KafkaUnavailableError if no broker answers at start, MetricsPortError if the metrics' port is taken.
    """
    stop = stop or stop_on_signals()
    ensure_topics(settings)  # for the dead letters
    topic_id = ensure_items_topic(settings)
    apply(settings)
    run_stage(settings, lambda metrics: Catalogue(settings, topic_id, metrics), stop)


class Catalogue(Stage):
    """One member of the catalogue's group. For one thread."""

    def __init__(self, settings: StreamingSettings, topic_id: str, metrics: StreamingMetrics) -> None:
        super().__init__(PatientConsumer(settings, settings.catalogue_group, [settings.items_topic]), metrics)
        self._topic_id = topic_id
        self._dead_letters = DeadLetters(settings)
        self._items = Counter(
            "nextclick_items", "Messages of the topic items, by result", ["result"], registry=metrics.registry
        )
        self._parser = ItemParser()
        self._rows = RedisRows(settings)
        self._store = CatalogueStore(self._rows)

    def step(self) -> None:
        """Wait for the next batch, shortly, and handle it; one that the store does not take comes again."""
        batch = self._kafka.poll()
        try:
            if batch:
                self._handle(batch)
                self._metrics.lag.handled(batch)
            elif places := self._kafka.idle_places():  # the store may have lost what it had
                self._store.check([CatalogueBatch(self._topic_id, of.partition, at, at) for of, at in places.items()])
        except StoreBehindError as behind:
            self._kafka.go_back(batch.starts_at, behind.positions)
        except (OnlineStoreError, KafkaFailedError) as error:
            self._metrics.retries.inc()
            self._kafka.retry_later(batch.starts_at, error)
        self._metrics.paused.set(self.is_paused)
        self._metrics.lag.observe(self._kafka.kafka)

    def close(self) -> None:
        """Leave the group and give connections back. Nothing is in hand between two steps."""
        self._kafka.close()
        self._dead_letters.close()
        self._rows.close()
        log.info("catalogue stopped")

    def _handle(self, batch: Batch) -> None:
        parsed, rejected = self._parse(batch)
        with self._metrics.write_seconds.time():
            self._store.write(parsed)
        if rejected:
            self._reject(rejected)
        offsets = batch.next_offsets
        self._kafka.commit(offsets)  # if that fails, what comes again is known to the store
        self._observe(parsed, len(rejected), len(batch))
        log.debug("catalogue is up to %s", describe(offsets))

    def _parse(self, batch: Batch) -> tuple[list[CatalogueBatch], Rejected]:
        """The last change of each item, and the messages that say nothing of any."""
        parsed, rejected = [], Rejected()
        for partition, records in batch.records.items():
            changes: dict[str, Change] = {}
            for record in records:
                try:
                    item_id, item = self._parser.parse_record(record)
                except EventError as error:
                    rejected.append((record, error))
                else:
                    timestamp_ms = min(max(0, record.timestamp), MAX_TIMESTAMP_MS)
                    changes[item_id] = Change(record.offset, timestamp_ms, item)
            starts_at, end = batch.starts_at[partition], records[-1].offset + 1
            parsed.append(CatalogueBatch(self._topic_id, partition.partition, starts_at, end, changes))
        return parsed, rejected

    def _reject(self, rejected: Rejected) -> None:
        self._dead_letters.send(rejected)
        for _, error in rejected:
            self._metrics.dead_letters.labels(error.reason.value, field_label(error.field)).inc()
        record, error = rejected[0]
        place = place_of(record)
        log.warning("%d messages are no valid items, first %s: %s", len(rejected), place, error, extra={"place": place})

    def _observe(self, parsed: list[CatalogueBatch], rejected: int, messages: int) -> None:
        results = Tally(
            "deleted" if change.item is None else "written" for each in parsed for change in each.changes.values()
        )
        results["rejected"] = rejected
        results["superseded"] = messages - results.total()
        for result, count in results.items():
            self._items.labels(result).inc(count)
        self._metrics.batch_rows.observe(messages)
        self._metrics.unknown_fields.inc(self._parser.unknown_fields)
        self._parser.unknown_fields = 0
