"""A field that does not hold what it may is refused with its name and a reason, in JSON and in Protobuf alike."""

from typing import Any

import pytest
from msgspec import structs

from feature_repo.errors import Reason
from feature_repo.schema import (
    MAX_ATTRIBUTE_LENGTH,
    MAX_ATTRIBUTES,
    MAX_ID_LENGTH,
    MAX_TIMESTAMP_MS,
    Event,
    EventType,
)
from streaming.events.parser import event_to_json, event_to_protobuf, parse_record
from streaming.proto import event_pb2 as pb
from tests.support.event_messages import (
    EXPECTED,
    JSON_HEADER,
    MISSING,
    NOW_MS,
    PROTOBUF,
    VALID,
    exactly,
    json_of_type,
    json_with,
    record_of,
    refusal,
)

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
    error = refusal(record_of(json_with(**changes)))
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
    error = refusal(record_of(json_of_type(event_type, **attributes)))
    assert (error.field, error.reason) == (f"attributes.{field}", reason)


def test_a_watch_has_a_duration_and_a_purchase_may_tell_what_it_knows() -> None:
    assert parse_record(record_of(json_of_type("watch", duration_ms=0))).attributes == {"duration_ms": 0}
    assert parse_record(record_of(json_of_type("purchase"))).attributes == {}
    bought = {"quantity": 2, "price": 9.99, "platform": "ios", "recommendation_id": "r-1", "coupon": True}
    assert parse_record(record_of(json_of_type("purchase", **bought))).attributes == bought


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
    error = refusal(record_of(pb.Event(**(VALID | changes)).SerializeToString() or b"\x18\x00", headers=PROTOBUF))
    assert (error.field, error.reason) == (field, reason)


def test_an_empty_or_null_user_is_none_and_a_null_attribute_is_not_there_in_both_formats() -> None:
    attributes: dict[str, Any] = dict.fromkeys(("page", "platform", "quantity", "x" * 300))
    for headers in ([], JSON_HEADER):
        for user_id in ("", None):
            assert (
                parse_record(record_of(json_with(user_id=user_id, attributes=attributes), headers=headers)) == EXPECTED
            )
    message = pb.Event(**VALID, user_id="", attributes=dict.fromkeys(attributes, pb.AttributeValue()))
    assert parse_record(record_of(message.SerializeToString(), headers=PROTOBUF)) == EXPECTED


def test_the_last_whole_number_of_64_bits_and_any_float_is_an_attribute_in_both_formats() -> None:
    event = Event("e", EventType.VIEW, "s", "i", NOW_MS, None, {"a": 2**63 - 1, "b": -(2**63), "c": 1e300, "d": -1e20})
    for message, headers in (
        (event_to_json(event), []),
        (event_to_json(event), JSON_HEADER),
        (event_to_protobuf(event), PROTOBUF),
    ):
        assert exactly(parse_record(record_of(message, headers=headers))) == exactly(event)


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
    error = refusal(record_of(message, headers=headers))
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
        (json_with(**{field: odd}), []),
        (event_to_protobuf(event), PROTOBUF),
    ):
        error = refusal(record_of(message, key, headers))
        assert (error.field, error.reason) == (field, Reason.CONTROL_CHARACTER)
        assert str(error).isascii()


def test_ids_in_any_letters_are_taken_as_they_are() -> None:
    for item_id in ("é", "e\u0301", "三", "🥿", "👩\u200d🚀", " 3", "3 ", "\u00a0", "ש\u200f"):
        event = structs.replace(EXPECTED, item_id=item_id)
        assert parse_record(record_of(event_to_json(event))) == event
        assert parse_record(record_of(event_to_protobuf(event), headers=PROTOBUF)) == event
