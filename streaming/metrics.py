"""Prometheus metrics of one consumer or archive writer, in a registry of their own."""

from collections.abc import Iterator
from contextlib import contextmanager

from prometheus_client import CollectorRegistry, Counter, Histogram, start_http_server

from streaming.errors import MetricsPortError

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
_ROWS = (1, 2, 5, 10, 50, 100, 500, 1000, 2000, 5000, 10_000, 50_000)


class StreamingMetrics:
    """Counters and histograms; seconds and rows as their names say."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.events = Counter(
            "nextclick_events",
            "Messages read, by event type (empty where unknown) and result: written or rejected",
            ["event_type", "result"],
            registry=self.registry,
        )
        self.dead_letters = Counter(
            "nextclick_dead_letters",
            "Messages sent to the dead letter topic, by the field that was wrong",
            ["field"],
            registry=self.registry,
        )
        self.batch_rows = Histogram(
            "nextclick_batch_rows", "Messages handled together", buckets=_ROWS, registry=self.registry
        )
        self.write_seconds = Histogram(
            "nextclick_write_seconds", "Time of one batch's write", buckets=_SECONDS, registry=self.registry
        )
        self.visible_seconds = Histogram(
            "nextclick_event_visible_seconds",
            "From an event's arrival in Kafka (its message's time stamp) until it can be read",
            buckets=_SECONDS,
            registry=self.registry,
        )
        self.retries = Counter(
            "nextclick_store_retries", "Writes tried again because the store was away", registry=self.registry
        )

    @contextmanager
    def served(self, port: int) -> Iterator[None]:
        """Expose the registry over HTTP from a background thread while the block runs; port 0 does nothing.

        Raises MetricsPortError if the port is taken.
        """
        if not port:
            yield
            return
        try:
            server, thread = start_http_server(port, registry=self.registry)
        except OSError as error:
            raise MetricsPortError(port) from error
        try:
            yield
        finally:
            server.shutdown()
            server.server_close()
            thread.join()
