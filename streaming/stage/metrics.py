"""Prometheus metrics of one consumer or archive writer, in a registry of their own."""

from collections import Counter as Tally
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from enum import StrEnum

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from feature_repo.schema import EventType
from runtime.metrics_http import serve_http
from runtime.protobuf import tell_implementation
from streaming.errors import EventError, MetricsPortError
from streaming.events.parser import field_label
from streaming.kafka.gaps import Gap
from streaming.stage.bulk_histogram import BulkHistogram
from streaming.stage.health import Health
from streaming.stage.lag import PartitionLag

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
_ROWS = (1, 2, 5, 10, 50, 100, 500, 1000, 2000, 5000, 10_000, 50_000)


class Result(StrEnum):
    """What became of a message."""

    WRITTEN = "written"
    DUPLICATE = "duplicate"
    """An event that was there already."""
    REJECTED = "rejected"
    """No valid event."""
    DROPPED = "dropped"
    """An event of a person who was erased."""


class StreamingMetrics:
    """Counters, gauges and histograms; seconds and rows as their names say. Counting is done once a batch."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        tell_implementation(self.registry)
        self.events = Counter(
            "nextclick_events",
            "Messages read, by event type (empty where unknown) and result: written, duplicate, rejected or dropped",
            ["event_type", "result"],
            registry=self.registry,
        )
        self.dead_letters = Counter(
            "nextclick_dead_letters",
            "Messages that are no valid events, by reason and by the field that was wrong",
            ["reason", "field"],
            registry=self.registry,
        )
        self.unknown_fields = Counter(
            "nextclick_unknown_fields", "Fields kept out of events: the schema has none such", registry=self.registry
        )
        self.hot_sessions = Counter(
            "nextclick_hot_sessions",
            "Sessions a batch needed: hit if they were in memory, miss if they were read from the store",
            ["result"],
            registry=self.registry,
        )
        self.retries = Counter(
            "nextclick_store_retries", "Batches tried again because something was away", registry=self.registry
        )
        self.paused = Gauge(
            "nextclick_paused", "1 while consuming waits for what batches are written to", registry=self.registry
        )
        self.batch_rows = Histogram(
            "nextclick_batch_rows", "Messages handled together", buckets=_ROWS, registry=self.registry
        )
        self.fold_seconds = Histogram(
            "nextclick_fold_seconds",
            "Time of one batch from its messages to the rows to write: parsing, reading cold rows, folding",
            buckets=_SECONDS,
            registry=self.registry,
        )
        self.write_seconds = Histogram(
            "nextclick_write_seconds", "Time of one batch's write", buckets=_SECONDS, registry=self.registry
        )
        self.visible_seconds = BulkHistogram(
            "nextclick_event_visible_seconds",
            "From an event's arrival in Kafka (its message's time stamp) until it can be read",
            _SECONDS,
            self.registry,
        )
        self.gap_messages = Counter(
            "nextclick_kafka_gap_messages",
            "Offsets whose messages Kafka deleted before they were read here",
            ["topic", "partition"],
            registry=self.registry,
        )
        self.gap_at = Gauge(
            "nextclick_kafka_gap_timestamp_seconds",
            "When such a gap was last met, in seconds since the epoch; 0 if never",
            registry=self.registry,
        )
        self.lag = PartitionLag(self.registry)

    def count_events(self, result: Result, by_type: Mapping[EventType, int]) -> None:
        """Add one batch's messages, as event type → how many."""
        for event_type, count in by_type.items():
            self.events.labels(event_type, result.value).inc(count)

    def count_rejected(self, errors: Collection[EventError]) -> None:
        """Add one batch's messages that are no valid events."""
        if errors:
            self.events.labels("", Result.REJECTED.value).inc(len(errors))
        for (reason, field), count in Tally((error.reason, field_label(error.field)) for error in errors).items():
            self.dead_letters.labels(reason.value, field).inc(count)

    def count_gap(self, gap: Gap) -> None:
        """Add messages that Kafka deleted before they were read."""
        self.gap_messages.labels(gap.partition.topic, str(gap.partition.partition)).inc(gap.offsets)
        self.gap_at.set_to_current_time()

    def count_hot_sessions(self, hits: int, misses: int) -> None:
        """Add how many sessions of one batch were in memory, and how many were not."""
        self.hot_sessions.labels("hit").inc(hits)
        self.hot_sessions.labels("miss").inc(misses)

    def observe_visible(self, arrived_ms: Iterable[int], now_ms: float) -> None:
        """Events that can be read since `now_ms`, by when each arrived: both in ms since the epoch."""
        self.visible_seconds.observe_many(
            (max(0.0, now_ms - arrived) / 1000, count) for arrived, count in Tally(arrived_ms).items()
        )

    @contextmanager
    def served(self, port: int, host: str, health: Health) -> Iterator[None]:
        """Serve /metrics, /healthz and /readyz from a background thread while the block runs; port 0 does nothing.

        Raises MetricsPortError if the port is taken.
        """
        if not port:
            yield
            return
        with ExitStack() as stack:
            try:
                stack.enter_context(serve_http(host, port, self.registry, health.liveness, health.readiness))
            except OSError as error:
                raise MetricsPortError(host, port, error) from error
            yield
