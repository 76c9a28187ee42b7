"""The edge: one message of Kafka, JSON or Protobuf, parsed and checked once into a frozen `Event`; and both ways back.

A message says its format in the header `content-type`; without one it is JSON.
"""

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import msgspec
import orjson
from google.protobuf.message import DecodeError
from google.protobuf.unknown_fields import UnknownFieldSet
from kafka.consumer.fetcher import ConsumerRecord

from feature_repo.errors import Reason
from feature_repo.fields import MAX_AGE_MS, MAX_SKEW_MS, check_clock
from feature_repo.schema import MAX_EVENT_BYTES, AttributeValue, Event
from streaming.errors import EventError
from streaming.events.fields import FIELDS, check_attributes, check_readable, event_of
from streaming.proto import event_pb2 as pb

CONTENT_TYPE = "content-type"
JSON_TYPE = b"application/json"
PROTOBUF_TYPE = b"application/x-protobuf"

_BACKSLASH, _DELETE = ord("\\"), 0x7F  # looked for as numbers, which costs a tenth of looking for bytes

Headers = Sequence[tuple[str, bytes | None]]


class EventParser:
    """Parses messages, and counts what it kept out of their events. For one thread."""

    def __init__(self) -> None:
        self._decode = msgspec.json.Decoder(Event).decode
        self.unknown_fields = 0
        """Fields that the schema does not have, dropped so far."""

    def parse_record(self, record: ConsumerRecord) -> Event:
        """The event of a message. Its times are judged against the message's own, or against now if it has none.

        Raises EventError naming the field, what was expected of it, and the reason.
        """
        unknown_fields = 0
        event = self._plain_event(record.value) if not record.headers else None
        if event is None:
            fields = _read(record.value, record.headers)
            event = event_of(fields, record.timestamp)
            unknown_fields = len(fields.keys() - FIELDS)
        if record.key != event.session_id.encode():
            raise EventError("key", "the session_id, in UTF-8", Reason.WRONG_KEY)
        message_ms = record.timestamp
        if message_ms < 0 or not -MAX_SKEW_MS <= message_ms - event.timestamp_ms <= MAX_AGE_MS:
            check_clock("timestamp_ms", event.timestamp_ms, message_ms)
        self.unknown_fields += unknown_fields
        return event

    def _plain_event(self, message: bytes | None) -> Event | None:
        """The event of a JSON message with nothing but the fields of `Event`, in a third of the time.

        None where there is more to it, or something wrong with it: then `event_of` knows what.
        """
        if not message or len(message) > MAX_EVENT_BYTES:
            return None
        try:
            event = self._decode(message)
            check_attributes(event)
            # JSON takes no bare control characters but DEL. So in plain ASCII without an escape no id has any.
            if _BACKSLASH in message or _DELETE in message or not message.isascii():
                check_readable(event)
        except (ValueError, EventError):
            return None
        return event


def parse_record(record: ConsumerRecord) -> Event:
    """As `EventParser.parse_record`, for those who do not ask what was dropped."""
    return EventParser().parse_record(record)


def event_to_json(event: Event) -> bytes:
    """The event as JSON, the format of a message without a content type."""
    fields: dict[str, object] = {
        "event_id": event.event_id,
        "event_type": event.event_type.value,
        "session_id": event.session_id,
        "item_id": event.item_id,
        "timestamp_ms": event.timestamp_ms,
    }
    if event.user_id is not None:
        fields["user_id"] = event.user_id
    if event.attributes:
        fields["attributes"] = event.attributes
    return orjson.dumps(fields)


def event_to_protobuf(event: Event) -> bytes:
    """The event as Protobuf, to be sent with PROTOBUF_TYPE in the header CONTENT_TYPE."""
    attributes = {name: _attribute_value(value) for name, value in event.attributes.items()}
    return pb.Event(
        event_id=event.event_id,
        event_type=event.event_type.value,
        session_id=event.session_id,
        user_id=event.user_id or "",
        item_id=event.item_id,
        timestamp_ms=event.timestamp_ms,
        attributes=attributes,
    ).SerializeToString()


def field_label(field: str) -> str:
    """The field of an EventError as one of few words: names that a stranger chose must not become metrics."""
    name = field.partition(".")[0]
    return name if name in FIELDS or name in ("event", "key", CONTENT_TYPE) else "unknown"


def _read(message: bytes | None, headers: Headers) -> dict[str, Any]:
    if not message:
        raise EventError("event", "an object, but the message is empty", Reason.MISSING)
    if len(message) > MAX_EVENT_BYTES:
        raise EventError("event", f"at most {MAX_EVENT_BYTES} bytes, got {len(message)}", Reason.TOO_LARGE)
    if headers and _format_of(_content_type(headers)) == PROTOBUF_TYPE:
        return _read_protobuf(message)
    return _read_json(message)


def _content_type(headers: Headers) -> bytes | None:
    found = None
    for name, value in headers:
        if name.lower() == CONTENT_TYPE:
            found = value
    return found


@lru_cache(maxsize=64)
def _format_of(content_type: bytes | None) -> bytes:
    if content_type is None:
        return JSON_TYPE
    name = content_type.partition(b";")[0].strip().lower()
    if name == JSON_TYPE:
        return JSON_TYPE
    if name in (PROTOBUF_TYPE, b"application/protobuf"):
        return PROTOBUF_TYPE
    expected = f"{JSON_TYPE.decode()} or {PROTOBUF_TYPE.decode()}"
    raise EventError(CONTENT_TYPE, expected, Reason.UNSUPPORTED_FORMAT)


def _read_json(message: bytes) -> dict[str, Any]:
    try:
        fields = msgspec.json.decode(message)  # orjson makes a float of a whole number that has too many bits
    except (ValueError, RecursionError) as error:
        raise EventError("event", "a JSON object in UTF-8", Reason.MALFORMED) from error
    if type(fields) is not dict:
        raise EventError("event", "a JSON object", Reason.MALFORMED)
    return fields


def _read_protobuf(message: bytes) -> dict[str, Any]:
    try:
        event = pb.Event.FromString(message)
    except DecodeError as error:
        raise EventError("event", "the Protobuf message nextclick.events.v1.Event", Reason.MALFORMED) from error
    fields: dict[str, Any] = {
        "event_id": event.event_id,
        "event_type": event.event_type,
        "session_id": event.session_id,
        "item_id": event.item_id,
        "timestamp_ms": event.timestamp_ms or None,
        # An empty value is not sent: it is one that is not there.
        "user_id": event.user_id or None,
        "schema_version": event.schema_version or None,
    }
    if event.attributes:
        fields["attributes"] = {name: _value_of(entry) for name, entry in event.attributes.items()}
    unknown = UnknownFieldSet(event)
    if len(unknown):
        fields |= {f"number {unknown[place].field_number}": None for place in range(len(unknown))}
    return fields


def _value_of(value: pb.AttributeValue) -> object:
    kind = value.WhichOneof("value")
    return None if kind is None else getattr(value, kind)


def _attribute_value(value: AttributeValue) -> pb.AttributeValue:
    if isinstance(value, str):
        return pb.AttributeValue(text=value)
    if isinstance(value, bool):  # before int, which a bool is too
        return pb.AttributeValue(flag=value)
    return pb.AttributeValue(whole=value) if isinstance(value, int) else pb.AttributeValue(number=value)
