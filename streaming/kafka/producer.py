"""Producers for what the stages themselves write."""

import time
from collections.abc import Sequence

from kafka import KafkaProducer
from kafka.future import Future

from streaming.kafka.connection import kafka_options
from streaming.settings import StreamingSettings

_SEND_SECONDS = 30


def open_producer(settings: StreamingSettings, **options: int | str) -> KafkaProducer:
    """A producer that gives up within seconds, as its callers know better when to try again.

    Raises KafkaError if no broker answers.
    """
    return KafkaProducer(
        **kafka_options(settings),
        acks="all",
        max_block_ms=5000,
        request_timeout_ms=10_000,
        delivery_timeout_ms=20_000,
        **options,
    )


def wait_for(futures: Sequence[Future]) -> None:
    """Return once all are done; raises the first KafkaError among them, or KafkaTimeoutError."""
    give_up = time.monotonic() + _SEND_SECONDS
    for future in futures:
        if not future.succeeded():
            future.get(timeout=max(0.001, give_up - time.monotonic()))
