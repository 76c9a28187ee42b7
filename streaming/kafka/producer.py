"""What the stages and verbs send with."""

import time
from collections.abc import Sequence
from typing import Any

from kafka import KafkaProducer
from kafka.future import Future

from streaming.kafka.failures import kafka_errors, open_client
from streaming.kafka_settings import KafkaSettings

_SEND_SECONDS = 30
_CLOSE_SECONDS = 5


class Producer:
    """Gives up within seconds, as its callers know better when to try again. Raises KafkaFailedError."""

    def __init__(self, settings: KafkaSettings, client: KafkaProducer) -> None:
        self._settings = settings
        self._client = client

    def send(
        self,
        topic: str,
        *,
        key: bytes | None = None,
        value: bytes | None = None,
        headers: Sequence[tuple[str, bytes]] = (),
        timestamp_ms: int | None = None,
    ) -> Future:
        """What to wait for until the brokers have it."""
        with kafka_errors(self._settings):
            return self._client.send(topic, key=key, value=value, headers=list(headers), timestamp_ms=timestamp_ms)

    def wait_for(self, futures: Sequence[Future]) -> None:
        """Return once the brokers have all of them; raises for the first that they have not."""
        give_up = time.monotonic() + _SEND_SECONDS
        with kafka_errors(self._settings):
            for future in futures:
                if not future.succeeded():
                    future.get(timeout=max(0.001, give_up - time.monotonic()))

    def close(self) -> None:
        """Give connections back; what the brokers do not have by then is given up."""
        with kafka_errors(self._settings):
            self._client.close(timeout=_CLOSE_SECONDS)


def open_producer(settings: KafkaSettings, **options: Any) -> Producer:
    """With more of the client's options. Raises KafkaUnavailableError if no broker answers."""
    patience = {"max_block_ms": 5000, "request_timeout_ms": 10_000, "delivery_timeout_ms": 20_000}
    return Producer(settings, open_client(settings, KafkaProducer, acks="all", **patience, **options))
