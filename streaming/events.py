"""One event as JSON bytes: parsed and checked once, at the edge, into a frozen `Event`."""

import json
import math
from typing import Any, NoReturn

from feature_repo.schema import (
    MAX_ATTRIBUTES,
    MAX_EVENT_BYTES,
    MAX_ID_LENGTH,
    AttributeValue,
    Event,
    EventType,
)
from streaming.errors import EventError

MAX_TIMESTAMP_MS = 253_402_300_799_999
"""The end of the year 9999 (UTC), the last moment that every reader of the archive can express."""

_EVENT_TYPES = {event_type.value: event_type for event_type in EventType}
_REQUIRED = ("event_id", "event_type", "session_id", "item_id", "timestamp_ms")
_FIELDS = frozenset((*_REQUIRED, "user_id", "attributes"))


def event_to_json(event: Event) -> bytes:
    """The wire format, as `parse_event` reads it."""
    fields = {
        "event_id": event.event_id,
        "event_type": event.event_type.value,
        "session_id": event.session_id,
        "user_id": event.user_id,
        "item_id": event.item_id,
        "timestamp_ms": event.timestamp_ms,
        "attributes": event.attributes,
    }
    return json.dumps(fields, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()


def parse_event(message: bytes | None) -> Event:
    """Raises EventError naming the field and what was expected of it."""
    fields = _parse_object(message)
    for name in fields.keys() - _FIELDS:
        raise EventError(_shortened(name), f"no such field, only {', '.join(sorted(_FIELDS))}")
    for name in _REQUIRED:
        if name not in fields:
            raise EventError(name, "to be there")
    return Event(
        event_id=_parse_id("event_id", fields["event_id"]),
        event_type=_parse_event_type(fields["event_type"]),
        session_id=_parse_id("session_id", fields["session_id"]),
        item_id=_parse_id("item_id", fields["item_id"]),
        timestamp_ms=_parse_timestamp(fields["timestamp_ms"]),
        user_id=None if (user_id := fields.get("user_id")) is None else _parse_id("user_id", user_id),
        attributes=_parse_attributes(fields.get("attributes")),
    )


def field_label(field: str) -> str:
    """The field of an EventError as one of few words: names that a stranger chose must not become metrics."""
    name = field.partition(".")[0]
    return name if name in _FIELDS or name in ("event", "key") else "unknown"


def parse_keyed_event(key: bytes | None, message: bytes | None) -> Event:
    """As `parse_event`, and the message's key has to be the session: it is what keeps a session in one partition."""
    event = parse_event(message)
    if key != event.session_id.encode():
        raise EventError("key", "the session_id, in UTF-8")
    return event


def _parse_object(message: bytes | None) -> dict[str, Any]:
    if not message:
        raise EventError("event", "a JSON object, but the message is empty")
    if len(message) > MAX_EVENT_BYTES:
        raise EventError("event", f"at most {MAX_EVENT_BYTES} bytes, got {len(message)}")
    try:
        fields = json.loads(message.decode(), parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise EventError("event", "a JSON object in UTF-8") from error
    if not isinstance(fields, dict):
        raise EventError("event", "a JSON object")
    return fields


def _parse_id(name: str, value: object) -> str:
    if not isinstance(value, str) or not 0 < len(value) <= MAX_ID_LENGTH or not _is_unicode(value):
        raise EventError(name, f"a string of 1 to {MAX_ID_LENGTH} characters")
    return value


def _parse_event_type(value: object) -> EventType:
    event_type = _EVENT_TYPES.get(value) if isinstance(value, str) else None
    if event_type is None:
        raise EventError("event_type", f"one of {', '.join(_EVENT_TYPES)}")
    return event_type


def _parse_timestamp(value: object) -> int:
    if type(value) is not int or not 0 < value <= MAX_TIMESTAMP_MS:
        raise EventError("timestamp_ms", "a whole number of milliseconds since 1970, above 0 and before the year 10000")
    return value


def _parse_attributes(value: object) -> dict[str, AttributeValue]:
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise EventError("attributes", "an object")
    if len(value) > MAX_ATTRIBUTES:
        raise EventError("attributes", f"at most {MAX_ATTRIBUTES} entries")
    for name, entry in value.items():
        if not 0 < len(name) <= MAX_ID_LENGTH or not _is_unicode(name):
            raise EventError("attributes", f"names of 1 to {MAX_ID_LENGTH} characters")
        if not _is_attribute(entry):
            raise EventError(f"attributes.{_shortened(name)}", "a string, a finite number, true or false")
    return value


def _is_attribute(value: object) -> bool:
    if isinstance(value, str):
        return _is_unicode(value)
    if isinstance(value, float):
        return math.isfinite(value)
    return isinstance(value, int)  # bool is one


def _is_unicode(text: str) -> bool:
    """JSON can escape half a surrogate pair, which no UTF-8 can carry on."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _shortened(name: str) -> str:
    """A field's name as a stranger chose it, fit for a log line and a header."""
    return name[:64].encode("ascii", "backslashreplace").decode()


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON")
