"""An event out of names and values, whatever wire format they came in; what one field may hold is in `feature_repo`.

The rules of attributes that have a meaning hold for every event type: one name means one thing in the archive.
"""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from feature_repo.errors import Reason
from feature_repo.fields import (
    check_event_type,
    check_id,
    check_optional_id,
    check_price,
    check_time,
    check_value,
    check_whole,
    is_readable,
)
from feature_repo.schema import MAX_ATTRIBUTES, MAX_ID_LENGTH, AttributeValue, Event, EventType
from streaming.errors import EventError

SCHEMA_VERSION = 1
"""The one version there is. A newer one may mean something else by the same name, so it is not guessed at."""

_REQUIRED = ("event_id", "event_type", "session_id", "item_id", "timestamp_ms")
FIELDS = frozenset((*_REQUIRED, "user_id", "attributes", "schema_version"))

_ATTRIBUTE_NAME = f"names of 1 to {MAX_ID_LENGTH} characters without control characters"

_REQUIRED_ATTRIBUTES = {EventType.WATCH: ("duration_ms",)}
"""A purchase's quantity and price are optional: shops that only tell what was ordered, OTTO's for one, still count."""


def event_of(fields: Mapping[str, Any], clock_ms: int) -> Event:
    """Check every field once. Those not in FIELDS are left out; an attribute that is null is not there.

    Whether the time is near to the clock is not looked at: see `feature_repo.fields.check_clock`. Raises EventError
    naming the field, what was expected of it, and the reason.
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
    event_type = check_event_type("event_type", event_type)
    _check_required(event_type, attributes)
    return Event(
        check_id("event_id", event_id),
        event_type,
        check_id("session_id", session_id),
        check_id("item_id", item_id),
        check_time("timestamp_ms", timestamp_ms, clock_ms),
        None if user_id is None else check_optional_id("user_id", user_id),
        attributes,
    )


def check_readable(event: Event) -> None:
    """Check the characters of ids and names, which the types of `Event` say nothing of. Raises EventError."""
    for field in ("event_id", "session_id", "item_id"):
        check_id(field, getattr(event, field))
    check_optional_id("user_id", event.user_id)
    for name in event.attributes:
        _check_name(name)


def check_attributes(event: Event) -> None:
    """Check what the types of `Event` do not say: attributes that have a meaning. Raises EventError."""
    for name, value in event.attributes.items():
        meaning = _MEANINGS.get(name)
        if meaning:
            meaning[1](meaning[0], value)
    _check_required(event.event_type, event.attributes)


def shortened(name: str) -> str:
    """A field's name as a stranger chose it, fit for a log line and a header."""
    return name[:64].encode("unicode_escape").decode()


def _check_version(version: object) -> None:
    if version is None or (type(version) is int and version == SCHEMA_VERSION):
        return
    reason = Reason.UNSUPPORTED_VERSION if type(version) is int else Reason.WRONG_TYPE
    raise EventError("schema_version", f"{SCHEMA_VERSION}, the one version this consumer knows", reason)


def _attributes(value: object) -> dict[str, AttributeValue]:
    if value is None:
        return {}
    if type(value) is not dict:
        raise EventError("attributes", "an object", Reason.WRONG_TYPE)
    attributes = value
    if None in value.values():
        attributes = {name: entry for name, entry in value.items() if entry is not None}
    if len(attributes) > MAX_ATTRIBUTES:
        raise EventError("attributes", f"at most {MAX_ATTRIBUTES} entries", Reason.TOO_LARGE)
    for name, entry in attributes.items():
        meaning = _MEANINGS.get(name)
        if meaning:
            meaning[1](meaning[0], entry)
        else:
            _check_name(name)
            check_value(f"attributes.{shortened(name)}", entry)
    return attributes


def _check_name(name: str) -> None:
    if not name:
        raise EventError("attributes", _ATTRIBUTE_NAME, Reason.MISSING)
    if len(name) > MAX_ID_LENGTH:
        raise EventError("attributes", _ATTRIBUTE_NAME, Reason.TOO_LONG)
    if not is_readable(name):
        raise EventError("attributes", f"{_ATTRIBUTE_NAME}, found {shortened(name)}", Reason.CONTROL_CHARACTER)


_MEANINGS: dict[str, tuple[str, Callable[[str, object], object]]] = {
    "duration_ms": ("attributes.duration_ms", partial(check_whole, least=0)),
    "quantity": ("attributes.quantity", partial(check_whole, least=1)),
    "price": ("attributes.price", check_price),
    "platform": ("attributes.platform", check_id),
    "recommendation_id": ("attributes.recommendation_id", check_id),
}
"""The field's name in an error, and what is checked."""


def _check_required(event_type: EventType, attributes: Mapping[str, AttributeValue]) -> None:
    for name in _REQUIRED_ATTRIBUTES.get(event_type, ()):
        if name not in attributes:
            raise EventError(f"attributes.{name}", f"to be there in a {event_type}", Reason.MISSING)
