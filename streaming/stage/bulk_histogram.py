"""A Prometheus histogram that takes a batch at once: prometheus_client's own costs over a microsecond a value."""

import threading
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate

from prometheus_client import CollectorRegistry
from prometheus_client.core import HistogramMetricFamily, Metric
from prometheus_client.registry import Collector


class BulkHistogram(Collector):
    """Exposed exactly as `prometheus_client.Histogram`, without labels. Safe between threads."""

    def __init__(self, name: str, documentation: str, buckets: Sequence[float], registry: CollectorRegistry) -> None:
        self._name = name
        self._documentation = documentation
        self._bounds = (*(float(bound) for bound in buckets), float("inf"))
        self._counts = [0] * len(self._bounds)
        self._sum = 0.0
        self._lock = threading.Lock()
        registry.register(self)

    def observe(self, value: float) -> None:
        """One value."""
        self.observe_many([(value, 1)])

    def observe_many(self, weighted: Iterable[tuple[float, int]]) -> None:
        """Values, each with how often it came."""
        bounds, counts = self._bounds, self._counts
        with self._lock:
            total = self._sum
            for value, count in weighted:
                counts[bisect_left(bounds, value)] += count
                total += value * count
            self._sum = total

    def collect(self) -> Iterator[Metric]:
        """Called for each scrape."""
        with self._lock:
            counts, total = list(self._counts), self._sum
        names = [*(str(bound) for bound in self._bounds[:-1]), "+Inf"]
        buckets = list(zip(names, accumulate(counts), strict=True))
        yield HistogramMetricFamily(self._name, self._documentation, buckets=buckets, sum_value=total)
