"""What the consumer, the catalogue and the archive have in common: a member of a group that runs until told to stop."""

import threading
from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import closing

from streaming.kafka.consumer import PatientConsumer
from streaming.settings import StreamingSettings
from streaming.stage.health import Health
from streaming.stage.metrics import StreamingMetrics


class Stage(ABC):
    """One member of a consumer group. For one thread."""

    def __init__(self, kafka: PatientConsumer, metrics: StreamingMetrics) -> None:
        self._kafka = kafka
        self._metrics = metrics
        kafka.tell_gaps_to(metrics.count_gap)

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
