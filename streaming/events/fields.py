"""What the fields of an event may hold, whatever wire format they came in: names and values in, a frozen `Event` out.

The rules of attributes that have a meaning hold for every event type: one name means one thing in the archive.
"""

import math
from collections.abc import Callable, Mapping
from typing import Any

from feature_repo.schema import (
    MAX_ATTRIBUTE_LENGTH,
    MAX_ATTRIBUTES,
    MAX_ID_LENGTH,
    MAX_TIMESTAMP_MS,
    MAX_WHOLE,
    MIN_WHOLE,
    AttributeValue,
    Event,
    EventType,
)
from streaming.errors import EventError, Reason

SCHEMA_VERSION = 1
"""The one version there is. A newer one may mean something else by the same name, so it is not guessed at."""

_EVENT_TYPES = {event_type.value: event_type for event_type in EventType}
_REQUIRED = ("event_id", "event_type", "session_id", "item_id", "timestamp_ms")
FIELDS = frozenset((*_REQUIRED, "user_id", "attributes", "schema_version"))

_ID = f"a string of 1 to {MAX_ID_LENGTH} characters"
_TIME = "a whole number of milliseconds since 1970, above 0 and before the year 10000"
_VALUE = f"a string of at most {MAX_ATTRIBUTE_LENGTH} characters, a finite number of 64 bits, true or false"

_REQUIRED_ATTRIBUTES = {EventType.WATCH: ("duration_ms",)}
"""A purchase's quantity and price are optional: shops that only tell what was ordered, OTTO's for one, still count."""


def event_of(fields: Mapping[str, Any]) -> Event:
    """Check every field once. Those not in FIELDS are left out.

    Raises EventError naming the field, what was expected of it, and the reason.
    """
    try:
        event_id = fields["event_id"]
        event_type = fields["event_type"]
        session_id = fields["session_id"]
        item_id = fields["item_id"]
        timestamp_ms = fields["timestamp_ms"]
    except KeyError as error:
        raise EventError(error.args[0], "to be there", Reason.MISSING) from None
    if len(fields) == len(_REQUIRED):
        user_id, attributes = None, {}
    else:
        _check_version(fields.get("schema_version"))
        user_id = fields.get("user_id")
        attributes = _attributes(fields.get("attributes"))
    event_type = _event_type(event_type)
    _check_required(event_type, attributes)
    return Event(
        _id("event_id", event_id),
        event_type,
        _id("session_id", session_id),
        _id("item_id", item_id),
        _timestamp(timestamp_ms),
        None if user_id is None else _id("user_id", user_id),
        attributes,
    )


def check_attributes(event: Event) -> None:
    """Check what the types of `Event` do not say: attributes that have a meaning. Raises EventError."""
    attributes = event.attributes
    if not _MEANINGS.keys().isdisjoint(attributes):
        for name in _MEANINGS.keys() & attributes.keys():
            _MEANINGS[name](f"attributes.{name}", attributes[name])
    _check_required(event.event_type, attributes)


def shortened(name: str) -> str:
    """A field's name as a stranger chose it, fit for a log line and a header."""
    return name[:64].encode("unicode_escape").decode()


def _check_version(version: object) -> None:
    if version is None or (type(version) is int and version == SCHEMA_VERSION):
        return
    reason = Reason.UNSUPPORTED_VERSION if type(version) is int else Reason.WRONG_TYPE
    raise EventError("schema_version", f"{SCHEMA_VERSION}, the one version this consumer knows", reason)


def _id(name: str, value: object, expected: str = _ID) -> str:
    if type(value) is str and 0 < len(value) <= MAX_ID_LENGTH:
        return value
    if value is None or value == "":
        raise EventError(name, expected, Reason.MISSING)
    raise EventError(name, expected, Reason.TOO_LONG if type(value) is str else Reason.WRONG_TYPE)


def _event_type(value: object) -> EventType:
    event_type = _EVENT_TYPES.get(value) if type(value) is str else None
    if event_type is not None:
        return event_type
    expected = f"one of {', '.join(_EVENT_TYPES)}"
    if value is None or value == "":
        raise EventError("event_type", expected, Reason.MISSING)
    raise EventError("event_type", expected, Reason.UNKNOWN_VALUE if type(value) is str else Reason.WRONG_TYPE)


def _timestamp(value: object) -> int:
    if type(value) is not int:
        raise EventError("timestamp_ms", _TIME, Reason.MISSING if value is None else Reason.WRONG_TYPE)
    if not 0 < value <= MAX_TIMESTAMP_MS:
        raise EventError("timestamp_ms", _TIME, Reason.OUT_OF_RANGE)
    return value


def _attributes(value: object) -> dict[str, AttributeValue]:
    if value is None:
        return {}
    if type(value) is not dict:
        raise EventError("attributes", "an object", Reason.WRONG_TYPE)
    if len(value) > MAX_ATTRIBUTES:
        raise EventError("attributes", f"at most {MAX_ATTRIBUTES} entries", Reason.TOO_LARGE)
    for name, entry in value.items():
        check = _MEANINGS.get(name)
        if check is not None:
            check(f"attributes.{name}", entry)
        else:
            _check_attribute(name, entry)
    return value


def _check_attribute(name: str, value: object) -> None:
    if not 0 < len(name) <= MAX_ID_LENGTH:
        expected = f"names of 1 to {MAX_ID_LENGTH} characters"
        raise EventError("attributes", expected, Reason.TOO_LONG if name else Reason.MISSING)
    problem = _attribute_problem(value)
    if problem:
        raise EventError(f"attributes.{shortened(name)}", _VALUE, problem)


def _attribute_problem(value: object) -> Reason | None:
    if type(value) is str:
        return Reason.TOO_LONG if len(value) > MAX_ATTRIBUTE_LENGTH else None
    if type(value) is int:
        return None if MIN_WHOLE <= value <= MAX_WHOLE else Reason.OUT_OF_RANGE
    if type(value) is float:
        return None if math.isfinite(value) else Reason.OUT_OF_RANGE
    return None if type(value) is bool else Reason.WRONG_TYPE


def _whole(least: int) -> Callable[[str, object], None]:
    def check(field: str, value: object) -> None:
        if type(value) is not int:
            raise EventError(field, f"a whole number from {least}", Reason.WRONG_TYPE)
        if not least <= value <= MAX_WHOLE:
            raise EventError(field, f"a whole number from {least}", Reason.OUT_OF_RANGE)

    return check


def _check_price(field: str, value: object) -> None:
    if type(value) is not int and type(value) is not float:
        raise EventError(field, "a number from 0", Reason.WRONG_TYPE)
    if not 0 <= value <= MAX_WHOLE:
        raise EventError(field, "a number from 0", Reason.OUT_OF_RANGE)


_MEANINGS: dict[str, Callable[[str, object], object]] = {
    "duration_ms": _whole(0),
    "quantity": _whole(1),
    "price": _check_price,
    "platform": _id,
    "recommendation_id": _id,
}


def _check_required(event_type: EventType, attributes: Mapping[str, AttributeValue]) -> None:
    for name in _REQUIRED_ATTRIBUTES.get(event_type, ()):
        if name not in attributes:
            raise EventError(f"attributes.{name}", f"to be there in a {event_type}", Reason.MISSING)
