"""What the consumer, the catalogue and the archive have in common: a member of a group that runs until told to stop."""

import threading
from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import closing

from kafka import TopicPartition
from kafka.errors import KafkaError

from feature_repo.errors import OnlineStoreError
from streaming.health import Health
from streaming.kafka_consumer import Batch, PatientConsumer
from streaming.metrics import StreamingMetrics
from streaming.settings import StreamingSettings


class Stage(ABC):
    """One member of a consumer group. For one thread."""

    def __init__(self, kafka: PatientConsumer, metrics: StreamingMetrics) -> None:
        self._kafka = kafka
        self._metrics = metrics

    @property
    def has_joined(self) -> bool:
        """Whether the group has dealt its partitions out."""
        return self._kafka.has_joined

    @property
    def is_paused(self) -> bool:
        """Whether it waits for what it writes to."""
        return self._kafka.is_paused

    @abstractmethod
    def step(self) -> None:
        """Wait for the next records, shortly, and handle them."""

    def finish(self) -> None:
        """Do what is left to do once stopped; nothing, unless records are held between two steps."""
        return

    @abstractmethod
    def close(self) -> None:
        """Leave the group and give connections back."""


class BatchStage(Stage):
    """Writes each batch and commits it before it takes the next."""

    def step(self) -> None:
        """Wait for the next batch, shortly, and handle it; one that what it is written to does not take comes again."""
        batch = self._kafka.poll()
        if revoked := self._kafka.take_revoked():
            self._forget(revoked)
        try:
            if batch:
                self._handle(batch)
                self._metrics.lag.handled(batch)
        except (OnlineStoreError, KafkaError) as error:
            self._metrics.retries.inc()
            self._kafka.retry_later(batch, error)
        self._metrics.paused.set(self.is_paused)
        self._metrics.lag.observe(self._kafka.kafka)

    @abstractmethod
    def _handle(self, batch: Batch) -> None:
        """Write a batch and commit it, or raise OnlineStoreError or KafkaError."""

    def _forget(self, revoked: set[TopicPartition]) -> None:
        """Drop what is remembered of partitions that others may write from now on; nothing, unless anything is."""
        return


def run_stage(settings: StreamingSettings, join: Callable[[StreamingMetrics], Stage], stop: threading.Event) -> None:
    """Run what `join` opens until `stop` is set, with metrics and probes.

    Raises MetricsPortError if their port is taken.
    """
    metrics, health = StreamingMetrics(), Health(settings.liveness_seconds)
    with (
        metrics.served(settings.metrics_port, settings.metrics_host, health),
        closing(join(metrics)) as stage,
    ):
        while not stop.is_set():
            stage.step()
            health.turned(stage.has_joined, stage.is_paused)
        stage.finish()
