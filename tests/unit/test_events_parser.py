"""What is no valid event is refused with the field's name; what is valid survives the wire."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from feature_repo.schema import MAX_ATTRIBUTES, MAX_EVENT_BYTES, MAX_ID_LENGTH, Event, EventType
from streaming.errors import EventError
from streaming.events import MAX_TIMESTAMP_MS, event_to_json, field_label, parse_event, parse_keyed_event

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
IDS = TEXT.filter(bool)
VALUES = st.one_of(TEXT, st.integers(), st.floats(allow_nan=False, allow_infinity=False), st.booleans())
EVENTS = st.builds(
    Event,
    event_id=IDS,
    event_type=st.sampled_from(EventType),
    session_id=IDS,
    item_id=IDS,
    timestamp_ms=st.integers(1, MAX_TIMESTAMP_MS),
    user_id=st.none() | IDS,
    attributes=st.dictionaries(IDS, VALUES, max_size=5),
)
VALID = {"event_id": "e", "event_type": "view", "session_id": "s", "item_id": "i", "timestamp_ms": 1_700_000_000_000}
MISSING = object()


def _with(**changes: Any) -> bytes:
    fields = {name: value for name, value in (VALID | changes).items() if value is not MISSING}
    return json.dumps(fields).encode()


@given(EVENTS)
def test_an_event_survives_the_wire(event: Event) -> None:
    assert parse_keyed_event(event.session_id.encode(), event_to_json(event)) == event


@given(st.binary(max_size=200))
def test_any_bytes_are_an_event_or_an_event_error(message: bytes) -> None:
    with pytest.raises(EventError):
        parse_event(message)


def test_optional_fields_may_be_left_out_or_null() -> None:
    expected = Event("e", EventType.VIEW, "s", "i", 1_700_000_000_000)
    assert parse_event(_with()) == parse_event(_with(user_id=None, attributes=None)) == expected


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        *[({name: MISSING}, name) for name in VALID],
        *[({name: value}, name) for name in ("event_id", "session_id", "item_id") for value in ("", 7, None, ["x"])],
        *[({name: "x" * (MAX_ID_LENGTH + 1)}, name) for name in ("event_id", "session_id", "item_id", "user_id")],
        *[({"timestamp_ms": value}, "timestamp_ms") for value in (0, -1, True, 1.5, "1", None, MAX_TIMESTAMP_MS + 1)],
        *[({"event_type": value}, "event_type") for value in ("click", "VIEW", "", 1, None, [])],
        ({"item_id": "half a pair \ud800"}, "item_id"),
        ({"user_id": ""}, "user_id"),
        ({"user_id": 3}, "user_id"),
        ({"price": 1}, "price"),
        ({"attributes": []}, "attributes"),
        ({"attributes": {str(n): n for n in range(MAX_ATTRIBUTES + 1)}}, "attributes"),
        ({"attributes": {"": 1}}, "attributes"),
        ({"attributes": {"page": None}}, "attributes.page"),
        ({"attributes": {"page": {"nested": 1}}}, "attributes.page"),
    ],
)
def test_a_wrong_field_is_named(changes: dict[str, Any], field: str) -> None:
    with pytest.raises(EventError, match="expected") as caught:
        parse_event(_with(**changes))
    assert caught.value.field == field


@pytest.mark.parametrize(
    "message",
    [
        None,
        b"",
        b"{",
        b"[]",
        b"null",
        b'"event"',
        b"\xff\xfe",
        b"[" * 60_000,
        _with(event_id=MISSING)[:-1] + b', "timestamp_ms": ' + b"9" * 5000 + b"}",
        _with()[:-1] + b', "attributes": {"a": NaN}}',
        json.dumps(VALID).encode("utf-16"),
        _with(attributes={"a": "x" * MAX_EVENT_BYTES}),
    ],
)
def test_what_is_no_json_object_of_bearable_size_is_refused(message: bytes | None) -> None:
    with pytest.raises(EventError) as caught:
        parse_event(message)
    assert caught.value.field == "event"


def test_an_attribute_beyond_any_number_is_refused() -> None:
    with pytest.raises(EventError) as caught:
        parse_event(_with()[:-1] + b', "attributes": {"a": 1e999}}')
    assert caught.value.field == "attributes.a"


@pytest.mark.parametrize("key", [None, b"", b"other"])
def test_the_key_has_to_be_the_session(key: bytes | None) -> None:
    with pytest.raises(EventError) as caught:
        parse_keyed_event(key, _with())
    assert caught.value.field == "key"


def test_a_stranger_cannot_write_a_long_or_odd_field_name_into_the_reason() -> None:
    with pytest.raises(EventError) as caught:
        parse_event(_with(**{"\ud800\n" + "x" * 1000: 1}))
    assert len(str(caught.value).encode()) < 500


def test_a_strangers_field_name_never_becomes_a_metric() -> None:
    for message in (b'{"evil-%d": 1}' % 7, json.dumps(VALID | {"attributes": {"evil": []}}).encode()):
        with pytest.raises(EventError) as caught:
            parse_event(message)
        assert "evil" in caught.value.field
        assert "evil" not in field_label(caught.value.field)
    assert field_label("timestamp_ms") == "timestamp_ms"
