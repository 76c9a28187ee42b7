"""Says once that Kafka is away and once that it is back, where its client logs a dozen lines a second."""

import logging
import threading
import time

from kafka import KafkaConsumer

from streaming.errors import KafkaFailedError
from streaming.kafka.connection import kafka_options, unavailable
from streaming.kafka_settings import KafkaSettings

log = logging.getLogger(__name__)

_LOOK_SECONDS = 0.25
_GRACE_SECONDS = 1.0
"""A connection that breaks and is there again counts for nothing."""


class OutageWatch:
    """Looks at the connections of one client, in a thread of its own, as calls of the client may block meanwhile."""

    def __init__(self, settings: KafkaSettings, client: KafkaConsumer) -> None:
        self.is_away = False
        self._settings = settings
        self._manager = client._manager
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._run, name="kafka-outage", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """End the thread."""
        self._closed.set()
        self._thread.join()

    def _run(self) -> None:
        lost_at: float | None = None
        while not self._closed.wait(_LOOK_SECONDS):
            if not self._is_cut_off():
                if self.is_away and lost_at is not None:
                    self._tell_end(time.monotonic() - lost_at)
                self.is_away, lost_at = False, None
                continue
            lost_at = lost_at or time.monotonic()
            if not self.is_away and time.monotonic() - lost_at > _GRACE_SECONDS:
                self.is_away = True
                log.warning("%s; waiting for it", _reason(self._settings))

    def _is_cut_off(self) -> bool:
        """No broker is connected, and not because there was nothing to ask."""
        connections = list(self._manager._conns.values())
        return bool(self._manager._backoff) and not any(each.connected for each in connections)

    def _tell_end(self, seconds: float) -> None:
        log.warning("Kafka at %s answers again, after %.0f s", self._settings.kafka_bootstrap_servers, seconds)


def _reason(settings: KafkaSettings) -> str:
    """With a look at what may be wrong besides the brokers themselves: tokens, certificates, a password."""
    try:
        kafka_options(settings)
    except KafkaFailedError as error:
        return str(error)
    return str(unavailable(settings))
