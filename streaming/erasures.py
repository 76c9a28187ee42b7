"""People who asked to be forgotten, so that nothing brings them back: neither a late event nor one that is read again.

The compacted topic ERASURES_TOPIC holds a message for the person and one for each session of theirs. Its key is an
HMAC of the id, so the topic itself names nobody; its value says up to which event time their events are dropped.
"""

import hmac
import logging
import time
from collections.abc import Iterable
from contextlib import closing

import orjson
from kafka.consumer.fetcher import ConsumerRecord

from feature_repo.fields import MAX_SKEW_MS, now_ms
from feature_repo.schema import Event
from streaming.kafka.member import place_of
from streaming.kafka.producer import open_producer
from streaming.kafka.topics import ensure_compacted_topic
from streaming.kafka.whole_topic import open_whole_topic
from streaming.settings import StreamingSettings

log = logging.getLogger(__name__)

REFRESH_SECONDS = 1.0
"""Age at which a consumer looks for new erasures."""

USER, SESSION = "user", "session"

_NEVER = -1


class Erasures:
    """All erasures so far. For one thread; whoever writes events anywhere asks it about each of them."""

    def __init__(self, settings: StreamingSettings) -> None:
        """Reads the topic to its end, and makes it if it is missing. Raises KafkaUnavailableError."""
        self._key = settings.erasure_key.get_secret_value().encode()
        self._before_ms: dict[bytes, int] = {}
        self._refreshed_at = 0.0
        ensure_compacted_topic(settings, settings.erasures_topic)
        self._topic = open_whole_topic(settings, settings.erasures_topic)
        self.refresh()

    def refresh(self, max_age_seconds: float = 0.0) -> bool:
        """Read what was added since the last time, unless that is less than `max_age_seconds` ago; was there any?

        After True, forget what is remembered of sessions and users: they may have been removed from the store.
        Raises KafkaFailedError.
        """
        now = time.monotonic()
        if self._refreshed_at and now - self._refreshed_at < max_age_seconds:
            return False
        added = False
        for record in self._topic.unread():
            added |= self._note(record)
        self._refreshed_at = now
        return added

    def is_erased(self, event: Event) -> bool:
        """Whether the event is of a person, or of a session of theirs, from before they were erased."""
        if not self._before_ms:
            return False
        before_ms = self.before_ms(SESSION, event.session_id)
        if event.user_id:
            before_ms = max(before_ms, self.before_ms(USER, event.user_id))
        return event.timestamp_ms <= before_ms

    def before_ms(self, kind: str, name: str) -> int:
        """Up to which event time a user or session is erased; -1 where it never was."""
        return self._before_ms.get(digest(self._key, kind, name), _NEVER)

    def __bool__(self) -> bool:
        return bool(self._before_ms)

    def close(self) -> None:
        """Give connections back."""
        self._topic.close()

    def _note(self, record: ConsumerRecord) -> bool:
        if not record.key or not record.value:  # taken back by hand
            return self._before_ms.pop(record.key, None) is not None
        try:
            before_ms = int(orjson.loads(record.value)["before_ms"])
        except (ValueError, TypeError, KeyError):
            place = place_of(record)
            log.warning("%s is no erasure: left out", place, extra={"place": place})
            return False
        if before_ms <= self._before_ms.get(record.key, _NEVER):
            return False
        self._before_ms[record.key] = before_ms
        return True


def send_erasures(settings: StreamingSettings, user_id: str, session_ids: Iterable[str]) -> int:
    """Tell everyone to drop events of a person and of these sessions; up to which event time (ms), a little after now.

    Returns once the brokers have it; raises KafkaFailedError otherwise.
    """
    key = settings.erasure_key.get_secret_value().encode()
    before_ms = now_ms() + MAX_SKEW_MS
    value = orjson.dumps({"before_ms": before_ms})
    keys = [digest(key, USER, user_id), *(digest(key, SESSION, session_id) for session_id in session_ids)]
    with closing(open_producer(settings)) as producer:
        producer.wait_for([producer.send(settings.erasures_topic, key=each, value=value) for each in keys])
    return before_ms


def digest(key: bytes, kind: str, name: str) -> bytes:
    """What stands for a user or session, in hexadecimal."""
    return hmac.digest(key, f"{kind}:{name}".encode(), "sha256").hex().encode()
