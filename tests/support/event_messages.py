"""Messages of the topic of events, right ones and wrong ones, and what the parser says of them."""

import json
from typing import Any

import pytest
from kafka.consumer.fetcher import ConsumerRecord

from feature_repo.schema import Event, EventType
from streaming.errors import EventError
from streaming.events.parser import PROTOBUF_TYPE, parse_record

NOW_MS = 1_700_000_000_000
VALID = {"event_id": "e", "event_type": "view", "session_id": "s", "item_id": "i", "timestamp_ms": NOW_MS}
EXPECTED = Event("e", EventType.VIEW, "s", "i", NOW_MS)
MISSING = object()
"""Stands for a field that is not there."""
PROTOBUF: list[tuple[str, bytes | None]] = [("content-type", PROTOBUF_TYPE)]
JSON_HEADER: list[tuple[str, bytes | None]] = [("content-type", b"application/json")]


def record_of(
    value: bytes | None,
    key: bytes | None = b"s",
    headers: list[tuple[str, bytes | None]] | None = None,
    timestamp: int = NOW_MS,
) -> ConsumerRecord:
    """A message as Kafka's client hands it out, sent at `timestamp` in ms."""
    return ConsumerRecord("events", 0, -1, 7, timestamp, 0, key, value, headers or [], None, 1, 1, 0)


def json_with(**changes: Any) -> bytes:
    """VALID with these changes."""
    fields = {name: value for name, value in (VALID | changes).items() if value is not MISSING}
    return json.dumps(fields).encode()


def json_of_type(event_type: str, **attributes: Any) -> bytes:
    """VALID of another type, with these attributes."""
    return json_with(event_type=event_type, attributes=attributes)


def refusal(record: ConsumerRecord) -> EventError:
    """What the parser has against a message."""
    with pytest.raises(EventError, match="expected") as caught:
        parse_record(record)
    return caught.value


def exactly(event: Event) -> tuple[Event, list[str]]:
    """With the types of its attributes: True, 1 and 1.0 are equal, and not the same."""
    return event, sorted(f"{name!r} {value!r}" for name, value in event.attributes.items())
