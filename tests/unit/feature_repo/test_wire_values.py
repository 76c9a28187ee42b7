"""Values put together from pieces are, byte for byte, those that Protobuf writes."""

from hypothesis import example, given
from hypothesis import strategies as st

from feature_repo.online import wire_values
from feature_repo.online.redis_layout import decode_timestamp, decode_value, encode_value
from feature_repo.views import FeatureType

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=300)
WHOLE = st.integers(0, 2**63 - 1) | st.integers(2**28 - 2, 2**28 + 2) | st.integers(2**35 - 2, 2**42 + 2)


@given(st.lists(TEXTS))
def test_strings(texts: list[str]) -> None:
    pieces = [wire_values.string_entry(text) for text in texts]
    assert wire_values.string_entries(texts) == pieces
    body = b"".join(pieces)
    assert wire_values.string_list(body) == encode_value(FeatureType.STRING_LIST, texts)
    assert wire_values.string_list_body(wire_values.string_list(body)) == body
    for count in range(len(pieces) + 1):
        assert wire_values.entries_size(body, count) == len(b"".join(pieces[:count]))
    assert [wire_values.string(text) for text in texts] == [encode_value(FeatureType.STRING, text) for text in texts]
    assert wire_values.string(None) == encode_value(FeatureType.STRING, None)
    assert [wire_values.string_text(wire_values.string(text)) for text in texts] == texts


@given(st.lists(WHOLE, min_size=1))
def test_whole_numbers(values: list[int]) -> None:
    pieces = [wire_values.varint(value) for value in values]
    body = b"".join(pieces)
    assert wire_values.int64_list(body) == encode_value(FeatureType.INT64_LIST, values)
    assert wire_values.int64_list_body(wire_values.int64_list(body)) == body
    assert wire_values.count_varints(body) == len(values)
    for count in range(len(pieces) + 1):
        assert wire_values.varints_size(body, count) == len(b"".join(pieces[:count]))
    assert wire_values.last_varint(body) == values[-1]
    assert [wire_values.int64(value) for value in values] == [encode_value(FeatureType.INT64, v) for v in values]
    assert [wire_values.int64_number(wire_values.int64(value)) for value in values] == values


@given(st.lists(st.tuples(TEXTS, WHOLE), min_size=1), st.booleans())
@example([("x" * 9000, 1)], True)
@example([("x", 1)] * 9000, False)
def test_lists_of_a_row(entries: list[tuple[str, int]], numbers_first: bool) -> None:
    texts, numbers = (list(column) for column in zip(*entries, strict=True))
    rows = [(FeatureType.STRING_LIST, texts, wire_values.string_entries(texts))]
    rows.insert(0 if numbers_first else 1, (FeatureType.INT64_LIST, numbers, list(map(wire_values.varint, numbers))))
    place = 0 if numbers_first else 1
    bodies = [b"".join(pieces) for _, _, pieces in rows]
    values = wire_values.lists(bodies, place)
    assert values == [encode_value(kind, column) for kind, column, _ in rows]
    assert wire_values.list_bodies(values, place) == bodies
    assert wire_values.list_bodies([*values, None], place) is None
    assert wire_values.list_bodies(values, 1 - place) is None


@given(st.lists(st.floats(allow_nan=False), min_size=1))
def test_numbers(values: list[float]) -> None:
    assert wire_values.double_list(values) == encode_value(FeatureType.DOUBLE_LIST, values)


@given(st.integers(0, 253_402_300_799_999))
def test_times(timestamp_ms: int) -> None:
    assert decode_timestamp(wire_values.timestamp(timestamp_ms)) == timestamp_ms


@given(st.binary(max_size=12) | st.binary(max_size=11).map(b"\x20".__add__))
@example(b"\x62\x80\x00")  # a length in more bytes than it needs
def test_other_messages_have_no_body(raw: bytes) -> None:
    strings, numbers = wire_values.string_list_body(raw), wire_values.int64_list_body(raw)
    assert strings is None or wire_values.string_list(strings) == raw
    assert numbers is None or wire_values.int64_list(numbers) == raw
    text, number = wire_values.string_text(raw), wire_values.int64_number(raw)
    assert text is None or wire_values.string(text) == raw
    assert number is None or decode_value(FeatureType.INT64, raw) == number
