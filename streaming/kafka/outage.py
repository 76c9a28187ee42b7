"""Says once that Kafka is away and once that it is back, where its client logs a dozen lines a second."""

import logging
import select
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from kafka import KafkaConsumer
from kafka.coordinator.base import MemberState

from streaming.errors import KafkaFailedError
from streaming.kafka.connection import kafka_options, unavailable
from streaming.kafka_settings import KafkaSettings

log = logging.getLogger(__name__)

_LOOK_SECONDS = 0.25
_GRACE_SECONDS = 1.0
"""A connection that breaks and is there again counts for nothing."""
_ANSWER_SECONDS = 10.0
"""A broker that leaves everything unanswered for so long is away, although its machine still takes requests."""


class OutageWatch:
    """Looks at the connections of one client, in a thread of its own, as calls of the client may block meanwhile."""

    def __init__(self, settings: KafkaSettings, client: KafkaConsumer) -> None:
        self.is_away = False
        self._settings = settings
        self._manager = client._manager
        self._coordinator = client._coordinator
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._run, name="kafka-outage", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """End the thread."""
        self._closed.set()
        self._thread.join()

    def _run(self) -> None:
        lost_at = 0.0
        while not self._closed.wait(_LOOK_SECONDS):
            now, connections = time.monotonic(), list(self._manager._conns.values())
            is_silent = self._is_silent(connections)
            is_lost = is_silent or self._is_cut_off(connections)
            if self.is_away:
                if not is_lost and _was_heard_since(lost_at, connections):
                    self._tell_end(now - lost_at)
                    self.is_away, lost_at = False, 0.0
            elif not is_lost:
                lost_at = 0.0
            else:
                lost_at = lost_at or now
                if now - lost_at > _GRACE_SECONDS:
                    self.is_away = True
                    log.warning("%s; waiting for it", self._silence() if is_silent else _reason(self._settings))

    def _is_cut_off(self, connections: Sequence[Any]) -> bool:
        """No broker is connected, and not because there was nothing to ask."""
        return bool(self._manager._backoff) and not any(each.connected for each in connections)

    def _is_silent(self, connections: Sequence[Any]) -> bool:
        """Brokers are connected and have been asked, and none answers; but to a join the answer may take minutes."""
        if self._coordinator.state is MemberState.REBALANCING:
            return False
        asked = [each for each in connections if each.connected and each.in_flight_requests]
        return bool(asked) and all(map(_is_unanswered, asked))

    def _silence(self) -> str:
        return f"Kafka at {self._settings.kafka_bootstrap_servers} is connected, but has answered nothing for a while"

    def _tell_end(self, seconds: float) -> None:
        log.warning("Kafka at %s answers again, after %.0f s", self._settings.kafka_bootstrap_servers, seconds)


def _is_unanswered(connection: Any) -> bool:
    """Whether a request was sent long ago whose answer is not even waiting to be read, as while we are busy."""
    with suppress(AttributeError, IndexError, OSError, ValueError):  # it was answered, or closed, this moment
        (_, _, sent_at, *_), transport = connection.in_flight_requests[0], connection.transport
        if time.monotonic() - sent_at > _ANSWER_SECONDS and not transport._write_buffer:
            poll = select.poll()
            poll.register(transport._sock, select.POLLIN)
            return not poll.poll(0)
    return False


def _was_heard_since(moment: float, connections: Sequence[Any]) -> bool:
    transports = [each.transport for each in connections if each.connected]
    return any(each is not None and each.last_read > moment for each in transports)


def _reason(settings: KafkaSettings) -> str:
    """With a look at what may be wrong besides the brokers themselves: tokens, certificates, a password."""
    try:
        kafka_options(settings)
    except KafkaFailedError as error:
        return str(error)
    return str(unavailable(settings))
