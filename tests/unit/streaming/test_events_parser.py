"""What is no valid event is refused with the field's name and a reason; what is valid survives the wire."""

import json
import time
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kafka.consumer.fetcher import ConsumerRecord
from msgspec import structs

from feature_repo.errors import Reason
from feature_repo.fields import is_readable
from feature_repo.schema import (
    MAX_ATTRIBUTE_LENGTH,
    MAX_ATTRIBUTES,
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
    PROTOBUF_TYPE,
    EventParser,
    event_to_json,
    event_to_protobuf,
    field_label,
    parse_record,
)
from streaming.proto import event_pb2 as pb

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
NOW_MS = 1_700_000_000_000
VALID = {"event_id": "e", "event_type": "view", "session_id": "s", "item_id": "i", "timestamp_ms": NOW_MS}
EXPECTED = Event("e", EventType.VIEW, "s", "i", NOW_MS)
MISSING = object()
PROTOBUF: list[tuple[str, bytes | None]] = [("content-type", PROTOBUF_TYPE)]
JSON_HEADER: list[tuple[str, bytes | None]] = [("content-type", b"application/json")]
SKEW_MS = int(MAX_CLOCK_SKEW.total_seconds() * 1000)
TTL_MS = int(SESSION_TTL.total_seconds() * 1000)


def _record(
    value: bytes | None,
    key: bytes | None = b"s",
    headers: list[tuple[str, bytes | None]] | None = None,
    timestamp: int = NOW_MS,
) -> ConsumerRecord:
    return ConsumerRecord("events", 0, -1, 7, timestamp, 0, key, value, headers or [], None, 1, 1, 0)


def _with(**changes: Any) -> bytes:
    fields = {name: value for name, value in (VALID | changes).items() if value is not MISSING}
    return json.dumps(fields).encode()


def _with_type(event_type: str, **attributes: Any) -> bytes:
    return _with(event_type=event_type, attributes=attributes)


def _error(record: ConsumerRecord) -> EventError:
    with pytest.raises(EventError, match="expected") as caught:
        parse_record(record)
    return caught.value


@given(EVENTS)
def test_an_event_survives_the_wire_as_json(event: Event) -> None:
    record = _record(event_to_json(event), event.session_id.encode(), timestamp=event.timestamp_ms)
    assert _exactly(parse_record(record)) == _exactly(event)


@given(EVENTS)
def test_an_event_survives_the_wire_as_protobuf(event: Event) -> None:
    record = _record(event_to_protobuf(event), event.session_id.encode(), PROTOBUF, event.timestamp_ms)
    assert _exactly(parse_record(record)) == _exactly(event)


def _exactly(event: Event) -> tuple[Event, list[str]]:
    """With the types of its attributes: True, 1 and 1.0 are equal, and not the same."""
    return event, sorted(f"{name!r} {value!r}" for name, value in event.attributes.items())


@given(st.binary(max_size=200), st.sampled_from([[], PROTOBUF]), st.binary(max_size=8))
def test_random_bytes_are_never_taken_for_an_event(message: bytes, headers: list[Any], key: bytes) -> None:
    _error(_record(message, key, headers))


@given(EVENTS, st.data())
def test_damaged_json_is_an_event_or_an_event_error(event: Event, data: st.DataObject) -> None:
    message = _damaged(event_to_json(event), data)
    with suppress(EventError):
        parse_record(_record(message, event.session_id.encode(), timestamp=event.timestamp_ms))


@given(EVENTS, st.data())
def test_damaged_protobuf_is_an_event_or_an_event_error(event: Event, data: st.DataObject) -> None:
    message = _damaged(event_to_protobuf(event), data)
    with suppress(EventError):
        parse_record(_record(message, event.session_id.encode(), PROTOBUF, event.timestamp_ms))


def _damaged(message: bytes, data: st.DataObject) -> bytes:
    damaged = bytearray(message)
    for _ in range(data.draw(st.integers(1, 4))):
        damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    return bytes(damaged)


JSON = st.recursive(st.none() | st.booleans() | WHOLE | st.floats() | TEXT, lambda some: st.lists(some, max_size=3))


@given(st.dictionaries(st.sampled_from([*VALID, "user_id", "attributes", "schema_version"]), JSON))
def test_any_values_are_an_event_or_an_event_error(fields: dict[str, Any]) -> None:
    with suppress(EventError):
        parse_record(_record(json.dumps(VALID | fields).encode()))


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
    said = _outcome(_record(message, key, [("content-type", b"application/json")]))
    assert _outcome(_record(message, key)) == said


@pytest.mark.parametrize("depth", [100, 10_000])
@pytest.mark.parametrize("place", ["event_id", "attributes", "unknown"])
def test_so_does_one_that_is_nested_deeply(place: str, depth: int) -> None:
    fields = ",".join(f'"{name}":{json.dumps(value)}' for name, value in VALID.items() if name != place)
    message = f'{{"{place}":{"[" * depth}{"]" * depth},{fields}}}'.encode()
    assert _outcome(_record(message)) == _outcome(_record(message, headers=[("content-type", b"application/json")]))


def _outcome(record: ConsumerRecord) -> tuple[object, int]:
    parser = EventParser()
    try:
        return _exactly(parser.parse_record(record)), parser.unknown_fields
    except EventError as error:
        return (error.field, str(error), error.reason), parser.unknown_fields


def test_optional_fields_may_be_left_out_or_null() -> None:
    assert parse_record(_record(_with())) == EXPECTED
    assert parse_record(_record(_with(user_id=None, attributes=None, schema_version=None))) == EXPECTED
    assert parse_record(_record(_with(schema_version=1))) == EXPECTED


IDENTIFIERS = ("event_id", "session_id", "item_id")
TOO_MANY_BITS = (2**63, 2**64, -(2**63) - 1, -(2**64), 10**400)
UNFIT_IDS = (
    "3\0",
    "\x00",
    "a\tb",
    "a\n",
    "\x1b[1m",
    "a\x7f",
    "\x80",
    "a\x9f",
    "a\u2028",
    "\u2029",
    "\u202ea",
    "\u2066a",
)


@pytest.mark.parametrize(
    ("changes", "field", "reason"),
    [
        *[({name: MISSING}, name, Reason.MISSING) for name in VALID],
        *[({name: None}, name, Reason.MISSING) for name in VALID],
        *[({name: ""}, name, Reason.MISSING) for name in (*IDENTIFIERS, "event_type")],
        *[({name: value}, name, Reason.WRONG_TYPE) for name in (*IDENTIFIERS, "user_id") for value in (7, ["x"], True)],
        *[({name: "x" * (MAX_ID_LENGTH + 1)}, name, Reason.TOO_LONG) for name in (*IDENTIFIERS, "user_id")],
        *[({"timestamp_ms": value}, "timestamp_ms", Reason.WRONG_TYPE) for value in (True, 1.5, "1", [])],
        *[
            ({"timestamp_ms": value}, "timestamp_ms", Reason.OUT_OF_RANGE)
            for value in (0, -1, MAX_TIMESTAMP_MS + 1, 2**70)
        ],
        *[({"event_type": value}, "event_type", Reason.UNKNOWN_VALUE) for value in ("click", "VIEW")],
        *[({"event_type": value}, "event_type", Reason.WRONG_TYPE) for value in (1, [], {})],
        *[({"schema_version": value}, "schema_version", Reason.UNSUPPORTED_VERSION) for value in (0, 2, -1)],
        *[({"schema_version": value}, "schema_version", Reason.WRONG_TYPE) for value in ("1", 1.0, True)],
        ({"attributes": []}, "attributes", Reason.WRONG_TYPE),
        ({"attributes": {str(n): n for n in range(MAX_ATTRIBUTES + 1)}}, "attributes", Reason.TOO_LARGE),
        ({"attributes": {"": 1}}, "attributes", Reason.MISSING),
        ({"attributes": {"x" * (MAX_ID_LENGTH + 1): 1}}, "attributes", Reason.TOO_LONG),
        ({"attributes": {"page": {"nested": 1}}}, "attributes.page", Reason.WRONG_TYPE),
        *[({"attributes": {"page": value}}, "attributes.page", Reason.OUT_OF_RANGE) for value in TOO_MANY_BITS],
        *[({name: value}, name, Reason.CONTROL_CHARACTER) for name in (*IDENTIFIERS, "user_id") for value in UNFIT_IDS],
        *[({"attributes": {name: 1}}, "attributes", Reason.CONTROL_CHARACTER) for name in UNFIT_IDS],
        *[({"attributes": {"platform": id_}}, "attributes.platform", Reason.CONTROL_CHARACTER) for id_ in UNFIT_IDS],
        ({"attributes": {"page": "x" * (MAX_ATTRIBUTE_LENGTH + 1)}}, "attributes.page", Reason.TOO_LONG),
    ],
)
def test_a_wrong_field_is_named_with_its_reason(changes: dict[str, Any], field: str, reason: Reason) -> None:
    error = _error(_record(_with(**changes)))
    assert (error.field, error.reason) == (field, reason)


@pytest.mark.parametrize(
    ("event_type", "attributes", "field", "reason"),
    [
        ("watch", {}, "duration_ms", Reason.MISSING),
        *[("watch", {"duration_ms": value}, "duration_ms", Reason.WRONG_TYPE) for value in (1.5, "1", True)],
        ("watch", {"duration_ms": None}, "duration_ms", Reason.MISSING),
        ("watch", {"duration_ms": -1}, "duration_ms", Reason.OUT_OF_RANGE),
        *[("purchase", {"quantity": value}, "quantity", Reason.WRONG_TYPE) for value in (1.0, "1", True)],
        *[("purchase", {"quantity": value}, "quantity", Reason.OUT_OF_RANGE) for value in (0, -2)],
        *[("purchase", {"price": value}, "price", Reason.WRONG_TYPE) for value in ("9.99", True)],
        *[("purchase", {"price": value}, "price", Reason.OUT_OF_RANGE) for value in (-0.01, -1)],
        *[("view", {name: 3}, name, Reason.WRONG_TYPE) for name in ("platform", "recommendation_id")],
        *[("like", {name: ""}, name, Reason.MISSING) for name in ("platform", "recommendation_id")],
        *[("share", {name: "x" * 257}, name, Reason.TOO_LONG) for name in ("platform", "recommendation_id")],
    ],
)
def test_attributes_that_mean_something_are_checked(
    event_type: str, attributes: dict[str, Any], field: str, reason: Reason
) -> None:
    error = _error(_record(_with_type(event_type, **attributes)))
    assert (error.field, error.reason) == (f"attributes.{field}", reason)


def test_a_watch_has_a_duration_and_a_purchase_may_tell_what_it_knows() -> None:
    assert parse_record(_record(_with_type("watch", duration_ms=0))).attributes == {"duration_ms": 0}
    assert parse_record(_record(_with_type("purchase"))).attributes == {}
    bought = {"quantity": 2, "price": 9.99, "platform": "ios", "recommendation_id": "r-1", "coupon": True}
    assert parse_record(_record(_with_type("purchase", **bought))).attributes == bought


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
        (_with(event_id=MISSING)[:-1] + b', "timestamp_ms": ' + b"9" * 5000 + b"}", Reason.MALFORMED),
        (_with()[:-1] + b', "attributes": {"a": NaN}}', Reason.MALFORMED),
        (_with()[:-1] + b', "attributes": {"a": 1e999}}', Reason.MALFORMED),
        (_with(item_id="half a pair \ud800"), Reason.MALFORMED),
        (json.dumps(VALID).encode("utf-16"), Reason.MALFORMED),
        (_with(attributes={"a": "x" * MAX_EVENT_BYTES}), Reason.TOO_LARGE),
    ],
)
def test_what_is_no_json_object_of_bearable_size_is_refused(message: bytes | None, reason: Reason) -> None:
    error = _error(_record(message))
    assert (error.field, error.reason) == ("event", reason)


@pytest.mark.parametrize(
    ("changes", "field", "reason"),
    [
        *[({name: None}, name, Reason.MISSING) for name in VALID],
        ({"timestamp_ms": -1}, "timestamp_ms", Reason.OUT_OF_RANGE),
        ({"event_type": "click"}, "event_type", Reason.UNKNOWN_VALUE),
        ({"item_id": "x" * 257}, "item_id", Reason.TOO_LONG),
        ({"schema_version": 2}, "schema_version", Reason.UNSUPPORTED_VERSION),
        ({"event_type": "watch"}, "attributes.duration_ms", Reason.MISSING),
        *[({name: value}, name, Reason.CONTROL_CHARACTER) for name in (*IDENTIFIERS, "user_id") for value in UNFIT_IDS],
        ({"attributes": {"page": pb.AttributeValue(number=float("inf"))}}, "attributes.page", Reason.OUT_OF_RANGE),
        ({"attributes": {"price": pb.AttributeValue(text="1")}}, "attributes.price", Reason.WRONG_TYPE),
    ],
)
def test_the_same_rules_hold_for_protobuf(changes: dict[str, Any], field: str, reason: Reason) -> None:
    error = _error(_record(pb.Event(**(VALID | changes)).SerializeToString() or b"\x18\x00", headers=PROTOBUF))
    assert (error.field, error.reason) == (field, reason)


def test_an_empty_or_null_user_is_none_and_a_null_attribute_is_not_there_in_both_formats() -> None:
    attributes: dict[str, Any] = dict.fromkeys(("page", "platform", "quantity", "x" * 300))
    for headers in ([], JSON_HEADER):
        for user_id in ("", None):
            assert parse_record(_record(_with(user_id=user_id, attributes=attributes), headers=headers)) == EXPECTED
    message = pb.Event(**VALID, user_id="", attributes=dict.fromkeys(attributes, pb.AttributeValue()))
    assert parse_record(_record(message.SerializeToString(), headers=PROTOBUF)) == EXPECTED


def test_the_last_whole_number_of_64_bits_and_any_float_is_an_attribute_in_both_formats() -> None:
    event = Event("e", EventType.VIEW, "s", "i", NOW_MS, None, {"a": 2**63 - 1, "b": -(2**63), "c": 1e300, "d": -1e20})
    for message, headers in (
        (event_to_json(event), []),
        (event_to_json(event), JSON_HEADER),
        (event_to_protobuf(event), PROTOBUF),
    ):
        assert _exactly(parse_record(_record(message, headers=headers))) == _exactly(event)


@pytest.mark.parametrize("headers", [[], [("content-type", b"application/json")], PROTOBUF])
@pytest.mark.parametrize(
    ("timestamp_ms", "reason", "words"),
    [
        (NOW_MS // 1000, Reason.WRONG_UNIT, "which looks like seconds"),
        (NOW_MS * 1000, Reason.WRONG_UNIT, "which looks like microseconds"),
        (NOW_MS * 1_000_000, Reason.WRONG_UNIT, "which looks like nanoseconds"),
        (MAX_TIMESTAMP_MS + 1, Reason.OUT_OF_RANGE, "before the year 10000"),
        (NOW_MS + 86_400_000, Reason.FROM_THE_FUTURE, "86400000 ms after it"),
        (NOW_MS - 31 * 86_400_000, Reason.TOO_OLD, "2678400000 ms before"),
    ],
)
def test_a_time_that_cannot_be_is_refused_with_the_unit_that_it_looks_like(
    headers: list[Any], timestamp_ms: int, reason: Reason, words: str
) -> None:
    event = Event("e", EventType.VIEW, "s", "i", timestamp_ms)
    message = event_to_protobuf(event) if headers == PROTOBUF else event_to_json(event)
    error = _error(_record(message, headers=headers))
    assert (error.field, error.reason) == ("timestamp_ms", reason)
    assert words in str(error)


@pytest.mark.parametrize("odd", UNFIT_IDS)
@pytest.mark.parametrize("field", [*IDENTIFIERS, "user_id"])
def test_an_id_with_a_control_character_is_refused_in_every_format_escaped_or_bare(field: str, odd: str) -> None:
    event = structs.replace(EXPECTED, **{field: odd})
    key = event.session_id.encode()
    for message, headers in (
        (event_to_json(event), []),  # bare, where JSON allows it
        (event_to_json(event), JSON_HEADER),
        (_with(**{field: odd}), []),
        (event_to_protobuf(event), PROTOBUF),
    ):
        error = _error(_record(message, key, headers))
        assert (error.field, error.reason) == (field, Reason.CONTROL_CHARACTER)
        assert str(error).isascii()


def test_ids_in_any_letters_are_taken_as_they_are() -> None:
    for item_id in ("é", "e\u0301", "三", "🥿", "👩\u200d🚀", " 3", "3 ", "\u00a0", "ש\u200f"):
        event = structs.replace(EXPECTED, item_id=item_id)
        assert parse_record(_record(event_to_json(event))) == event
        assert parse_record(_record(event_to_protobuf(event), headers=PROTOBUF)) == event


def test_json_that_calls_itself_protobuf_is_malformed() -> None:
    error = _error(_record(_with(), headers=PROTOBUF))
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
    assert parse_record(_record(message, headers=[("trace", b"\xff"), (name, content_type)])) == EXPECTED


@pytest.mark.parametrize("content_type", [b"application/avro", b"", b"\xff", b"json", b"application/json/x"])
def test_another_format_is_refused(content_type: bytes) -> None:
    for _ in range(2):  # also when the answer is remembered
        error = _error(_record(_with(), headers=[("content-type", content_type)]))
        assert (error.field, error.reason) == ("content-type", Reason.UNSUPPORTED_FORMAT)


@pytest.mark.parametrize("key", [None, b"", b"other"])
def test_the_key_has_to_be_the_session(key: bytes | None) -> None:
    error = _error(_record(_with(), key))
    assert (error.field, error.reason) == ("key", Reason.WRONG_KEY)


def test_times_are_judged_against_the_message() -> None:
    for inside in (NOW_MS - SKEW_MS, NOW_MS, NOW_MS + TTL_MS):
        assert parse_record(_record(_with(), timestamp=inside)) == EXPECTED
    future = _error(_record(_with(), timestamp=NOW_MS - SKEW_MS - 1))
    assert (future.field, future.reason) == ("timestamp_ms", Reason.FROM_THE_FUTURE)
    old = _error(_record(_with(), timestamp=NOW_MS + TTL_MS + 1))
    assert (old.field, old.reason) == ("timestamp_ms", Reason.TOO_OLD)


def test_times_are_judged_against_now_where_the_message_has_none() -> None:
    assert _error(_record(_with(), timestamp=-1)).reason is Reason.TOO_OLD
    now_ms = time.time_ns() // 1_000_000
    assert parse_record(_record(_with(timestamp_ms=now_ms), timestamp=-1)).timestamp_ms == now_ms
    late = _with(timestamp_ms=now_ms + 2 * SKEW_MS)
    assert _error(_record(late, timestamp=-1)).reason is Reason.FROM_THE_FUTURE


def test_unknown_fields_are_kept_out_and_counted() -> None:
    parser = EventParser()
    assert parser.parse_record(_record(_with(user_id=None))) == EXPECTED
    assert parser.unknown_fields == 0
    assert parser.parse_record(_record(_with(price=1, colour="red"))) == EXPECTED
    assert parser.unknown_fields == 2
    newer = event_to_protobuf(EXPECTED) + b"\x98\x06\x01"  # field 99 = 1
    assert parser.parse_record(_record(newer, headers=PROTOBUF)) == EXPECTED
    assert parser.unknown_fields == 3


def test_a_stranger_cannot_write_a_long_or_odd_field_name_into_the_reason() -> None:
    error = _error(_record(_with(attributes={"\n\x1b[31m" + "ü" * 200: []})))
    assert len(str(error).encode()) < 500
    assert error.field.isprintable()
    assert error.field.isascii()


def test_a_strangers_field_name_never_becomes_a_metric() -> None:
    error = _error(_record(_with(attributes={"evil": []})))
    assert error.field == "attributes.evil"
    assert field_label(error.field) == "attributes"
    assert field_label("evil") == "unknown"
    assert field_label("timestamp_ms") == "timestamp_ms"
    assert field_label("content-type") == "content-type"
