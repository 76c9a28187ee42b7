"""How far a consumer is behind, for each of its partitions, in messages and in seconds."""

import threading
import time
from collections.abc import Iterator, Mapping

from kafka import KafkaConsumer, TopicPartition
from prometheus_client import CollectorRegistry
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from streaming.kafka.batches import Batch
from streaming.kafka.member import ends, position

_EVERY_SECONDS = 1.0


class PartitionLag(Collector):
    """`nextclick_lag_messages` and `nextclick_lag_seconds` of the partitions that are assigned now.

    The loop calls `handled` and `observe`; a scrape may come from another thread.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        self._handled_ms: dict[TopicPartition, int] = {}
        self._lags: dict[TopicPartition, tuple[int, int | None]] = {}
        """Messages that wait, and the time (ms) of the last handled one."""
        self._lock = threading.Lock()
        self._due = 0.0
        registry.register(self)

    def handled(self, batch: Batch) -> None:
        """Take note of messages that are done, whatever became of them."""
        for partition, records in batch.records.items():
            self._handled_ms[partition] = records[-1].timestamp

    def observe(self, consumer: KafkaConsumer, unwritten: Mapping[TopicPartition, int] | None = None) -> None:
        """Look how far it is, at most once a second. Call it from the consumer's thread once a batch is done.

        `unwritten` has the first offset that is only buffered yet, of the partitions where there is one.
        """
        if (now := time.monotonic()) < self._due:
            return
        self._due = now + _EVERY_SECONDS
        assigned = consumer.assignment()
        self._handled_ms = {partition: seen for partition, seen in self._handled_ms.items() if partition in assigned}
        lags = {}
        for partition, end in ends(consumer, assigned).items():
            reached = (unwritten or {}).get(partition)
            if reached is None:
                reached = position(consumer, partition)
            if reached is not None:
                lags[partition] = (max(0, end - reached), self._handled_ms.get(partition))
        with self._lock:
            self._lags = lags

    def collect(self) -> Iterator[Metric]:
        """Called for each scrape."""
        labels = ["topic", "partition"]
        messages = GaugeMetricFamily("nextclick_lag_messages", "Messages that wait to be handled", labels=labels)
        seconds = GaugeMetricFamily(
            "nextclick_lag_seconds",
            "Age of the last handled message while others wait, 0 while none waits, absent before the first",
            labels=labels,
        )
        with self._lock:
            lags = dict(self._lags)
        now = time.time()
        for (topic, partition), (behind, handled_ms) in lags.items():
            messages.add_metric([topic, str(partition)], behind)
            if not behind or handled_ms is not None:
                age = max(0.0, now - (handled_ms or 0) / 1000) if behind else 0.0
                seconds.add_metric([topic, str(partition)], age)
        yield messages
        yield seconds
