"""What is no valid event is refused with the field's name and a reason; what is valid survives the wire."""

import json
import time
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kafka.consumer.fetcher import ConsumerRecord

from feature_repo.errors import Reason
from feature_repo.fields import is_readable
from feature_repo.schema import (
    MAX_CLOCK_SKEW,
    MAX_EVENT_BYTES,
    MAX_ID_LENGTH,
    MAX_TIMESTAMP_MS,
    SESSION_TTL,
    Event,
    EventType,
)
from streaming.errors import EventError
from streaming.events.parser import (
    EventParser,
    event_to_json,
    event_to_protobuf,
    field_label,
    parse_record,
)
from tests.support.event_messages import (
    EXPECTED,
    MISSING,
    NOW_MS,
    PROTOBUF,
    VALID,
    exactly,
    json_with,
    record_of,
    refusal,
)

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
IDS = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=40).filter(is_readable)
ODD_IDS = st.sampled_from(["", "3\0", "\x1b[31m", "\x7f", "a\u0085", "\u202egpj", "a\nb"])
WHOLE = st.integers(-(2**63), 2**63 - 1)
VALUES = st.one_of(TEXT, WHOLE, st.floats(allow_nan=False, allow_infinity=False), st.booleans())
MEANINGS = {
    "quantity": st.integers(1, 99),
    "price": st.integers(0, 99) | st.floats(0, 1e9),
    "platform": IDS,
    "recommendation_id": IDS,
}
ATTRIBUTES = st.builds(
    lambda *parts: {name: value for part in parts for name, value in part.items()},
    st.dictionaries(IDS.filter(lambda name: name not in MEANINGS), VALUES, max_size=5),
    st.fixed_dictionaries({"duration_ms": st.integers(0, 10**9)}, optional=MEANINGS),
)
EVENTS = st.builds(
    Event,
    event_id=IDS,
    event_type=st.sampled_from(EventType),
    session_id=IDS,
    item_id=IDS,
    timestamp_ms=st.integers(1, MAX_TIMESTAMP_MS),
    user_id=st.none() | IDS,
    attributes=ATTRIBUTES,
)
SKEW_MS = int(MAX_CLOCK_SKEW.total_seconds() * 1000)
TTL_MS = int(SESSION_TTL.total_seconds() * 1000)


@given(EVENTS)
def test_an_event_survives_the_wire_as_json(event: Event) -> None:
    record = record_of(event_to_json(event), event.session_id.encode(), timestamp=event.timestamp_ms)
    assert exactly(parse_record(record)) == exactly(event)


@given(EVENTS)
def test_an_event_survives_the_wire_as_protobuf(event: Event) -> None:
    record = record_of(event_to_protobuf(event), event.session_id.encode(), PROTOBUF, event.timestamp_ms)
    assert exactly(parse_record(record)) == exactly(event)


@given(st.binary(max_size=200), st.sampled_from([[], PROTOBUF]), st.binary(max_size=8))
def test_random_bytes_are_never_taken_for_an_event(message: bytes, headers: list[Any], key: bytes) -> None:
    refusal(record_of(message, key, headers))


@given(EVENTS, st.data())
def test_damaged_json_is_an_event_or_an_event_error(event: Event, data: st.DataObject) -> None:
    message = _damaged(event_to_json(event), data)
    with suppress(EventError):
        parse_record(record_of(message, event.session_id.encode(), timestamp=event.timestamp_ms))


@given(EVENTS, st.data())
def test_damaged_protobuf_is_an_event_or_an_event_error(event: Event, data: st.DataObject) -> None:
    message = _damaged(event_to_protobuf(event), data)
    with suppress(EventError):
        parse_record(record_of(message, event.session_id.encode(), PROTOBUF, event.timestamp_ms))


def _damaged(message: bytes, data: st.DataObject) -> bytes:
    damaged = bytearray(message)
    for _ in range(data.draw(st.integers(1, 4))):
        damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    return bytes(damaged)


JSON = st.recursive(st.none() | st.booleans() | WHOLE | st.floats() | TEXT, lambda some: st.lists(some, max_size=3))


@given(st.dictionaries(st.sampled_from([*VALID, "user_id", "attributes", "schema_version"]), JSON))
def test_any_values_are_an_event_or_an_event_error(fields: dict[str, Any]) -> None:
    with suppress(EventError):
        parse_record(record_of(json.dumps(VALID | fields).encode()))


FIELD_VALUES = {
    **dict.fromkeys(("event_id", "session_id", "item_id"), IDS | ODD_IDS | st.just("i" * MAX_ID_LENGTH)),
    "event_type": st.sampled_from(EventType).map(str),
    "timestamp_ms": st.integers(NOW_MS - 5, NOW_MS + 5) | st.integers(-1, 2**65),
    "user_id": st.none() | IDS | ODD_IDS,
    "attributes": st.none()
    | ATTRIBUTES
    | st.dictionaries(IDS | ODD_IDS, VALUES | st.sampled_from([None, 2**63 - 1, 2**63, 2**64, -(2**64), 1e19])),
    "schema_version": st.integers(0, 2),
    "unknown": JSON,
}


@given(st.fixed_dictionaries({}, optional={name: some | some | JSON for name, some in FIELD_VALUES.items()}))
def test_a_message_that_says_it_is_json_gives_what_it_gives_without_saying_so(changes: dict[str, Any]) -> None:
    fields = VALID | changes
    message, key = json.dumps(fields).encode(), str(fields["session_id"]).encode()
    said = _outcome(record_of(message, key, [("content-type", b"application/json")]))
    assert _outcome(record_of(message, key)) == said


@pytest.mark.parametrize("depth", [100, 10_000])
@pytest.mark.parametrize("place", ["event_id", "attributes", "unknown"])
def test_so_does_one_that_is_nested_deeply(place: str, depth: int) -> None:
    fields = ",".join(f'"{name}":{json.dumps(value)}' for name, value in VALID.items() if name != place)
    message = f'{{"{place}":{"[" * depth}{"]" * depth},{fields}}}'.encode()
    assert _outcome(record_of(message)) == _outcome(record_of(message, headers=[("content-type", b"application/json")]))


def _outcome(record: ConsumerRecord) -> tuple[object, int]:
    parser = EventParser()
    try:
        return exactly(parser.parse_record(record)), parser.unknown_fields
    except EventError as error:
        return (error.field, str(error), error.reason), parser.unknown_fields


def test_optional_fields_may_be_left_out_or_null() -> None:
    assert parse_record(record_of(json_with())) == EXPECTED
    assert parse_record(record_of(json_with(user_id=None, attributes=None, schema_version=None))) == EXPECTED
    assert parse_record(record_of(json_with(schema_version=1))) == EXPECTED


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        (None, Reason.MISSING),
        (b"", Reason.MISSING),
        (b"{", Reason.MALFORMED),
        (b"[]", Reason.MALFORMED),
        (b"null", Reason.MALFORMED),
        (b'"event"', Reason.MALFORMED),
        (b"\xff\xfe", Reason.MALFORMED),
        (b"[" * 60_000, Reason.MALFORMED),
        (json_with(event_id=MISSING)[:-1] + b', "timestamp_ms": ' + b"9" * 5000 + b"}", Reason.MALFORMED),
        (json_with()[:-1] + b', "attributes": {"a": NaN}}', Reason.MALFORMED),
        (json_with()[:-1] + b', "attributes": {"a": 1e999}}', Reason.MALFORMED),
        (json_with(item_id="half a pair \ud800"), Reason.MALFORMED),
        (json.dumps(VALID).encode("utf-16"), Reason.MALFORMED),
        (json_with(attributes={"a": "x" * MAX_EVENT_BYTES}), Reason.TOO_LARGE),
    ],
)
def test_what_is_no_json_object_of_bearable_size_is_refused(message: bytes | None, reason: Reason) -> None:
    error = refusal(record_of(message))
    assert (error.field, error.reason) == ("event", reason)


def test_json_that_calls_itself_protobuf_is_malformed() -> None:
    error = refusal(record_of(json_with(), headers=PROTOBUF))
    assert (error.field, error.reason) == ("event", Reason.MALFORMED)


@pytest.mark.parametrize(
    ("name", "content_type", "is_protobuf"),
    [
        ("content-type", b"application/json", False),
        ("Content-Type", b" Application/JSON; charset=utf-8", False),
        ("content-type", None, False),
        ("something-else", b"application/x-protobuf", False),
        ("content-type", b"application/x-protobuf", True),
        ("CONTENT-TYPE", b"application/Protobuf ; proto=nextclick.events.v1.Event", True),
    ],
)
def test_the_content_type_decides(name: str, content_type: bytes | None, is_protobuf: bool) -> None:
    message = event_to_protobuf(EXPECTED) if is_protobuf else event_to_json(EXPECTED)
    assert parse_record(record_of(message, headers=[("trace", b"\xff"), (name, content_type)])) == EXPECTED


@pytest.mark.parametrize("content_type", [b"application/avro", b"", b"\xff", b"json", b"application/json/x"])
def test_another_format_is_refused(content_type: bytes) -> None:
    for _ in range(2):  # also when the answer is remembered
        error = refusal(record_of(json_with(), headers=[("content-type", content_type)]))
        assert (error.field, error.reason) == ("content-type", Reason.UNSUPPORTED_FORMAT)


@pytest.mark.parametrize("key", [None, b"", b"other"])
def test_the_key_has_to_be_the_session(key: bytes | None) -> None:
    error = refusal(record_of(json_with(), key))
    assert (error.field, error.reason) == ("key", Reason.WRONG_KEY)


def test_times_are_judged_against_the_message() -> None:
    for inside in (NOW_MS - SKEW_MS, NOW_MS, NOW_MS + TTL_MS):
        assert parse_record(record_of(json_with(), timestamp=inside)) == EXPECTED
    future = refusal(record_of(json_with(), timestamp=NOW_MS - SKEW_MS - 1))
    assert (future.field, future.reason) == ("timestamp_ms", Reason.FROM_THE_FUTURE)
    old = refusal(record_of(json_with(), timestamp=NOW_MS + TTL_MS + 1))
    assert (old.field, old.reason) == ("timestamp_ms", Reason.TOO_OLD)


def test_times_are_judged_against_now_where_the_message_has_none() -> None:
    assert refusal(record_of(json_with(), timestamp=-1)).reason is Reason.TOO_OLD
    now_ms = time.time_ns() // 1_000_000
    assert parse_record(record_of(json_with(timestamp_ms=now_ms), timestamp=-1)).timestamp_ms == now_ms
    late = json_with(timestamp_ms=now_ms + 2 * SKEW_MS)
    assert refusal(record_of(late, timestamp=-1)).reason is Reason.FROM_THE_FUTURE


def test_unknown_fields_are_kept_out_and_counted() -> None:
    parser = EventParser()
    assert parser.parse_record(record_of(json_with(user_id=None))) == EXPECTED
    assert parser.unknown_fields == 0
    assert parser.parse_record(record_of(json_with(price=1, colour="red"))) == EXPECTED
    assert parser.unknown_fields == 2
    newer = event_to_protobuf(EXPECTED) + b"\x98\x06\x01"  # field 99 = 1
    assert parser.parse_record(record_of(newer, headers=PROTOBUF)) == EXPECTED
    assert parser.unknown_fields == 3


def test_a_stranger_cannot_write_a_long_or_odd_field_name_into_the_reason() -> None:
    error = refusal(record_of(json_with(attributes={"\n\x1b[31m" + "ü" * 200: []})))
    assert len(str(error).encode()) < 500
    assert error.field.isprintable()
    assert error.field.isascii()


def test_a_strangers_field_name_never_becomes_a_metric() -> None:
    error = refusal(record_of(json_with(attributes={"evil": []})))
    assert error.field == "attributes.evil"
    assert field_label(error.field) == "attributes"
    assert field_label("evil") == "unknown"
    assert field_label("timestamp_ms") == "timestamp_ms"
    assert field_label("content-type") == "content-type"
