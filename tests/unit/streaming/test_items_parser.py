"""A message of the topic `items` becomes an item, a deletion, or an error that names the field."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kafka.consumer.fetcher import ConsumerRecord

from feature_repo.catalogue.rules import MAX_TAGS, MAX_TITLE_LENGTH
from feature_repo.errors import Reason
from feature_repo.fields import is_readable
from feature_repo.schema import MAX_ID_LENGTH, Item
from streaming.catalogue.parser import MAX_ITEM_BYTES, ItemParser, field_label, item_to_json
from streaming.errors import EventError

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
NAMES = TEXT.filter(is_readable)
ITEMS = st.builds(
    Item,
    item_id=NAMES.filter(bool),
    title=TEXT,
    category=NAMES,
    brand=NAMES,
    price=st.none() | st.floats(0, 1e9),
    available=st.booleans(),
    tags=st.lists(NAMES.filter(bool), max_size=5).map(tuple),
)


def record(value: bytes | None, key: bytes | None = b"i1") -> ConsumerRecord:
    return ConsumerRecord("items", 0, -1, 7, 1_000, 0, key, value, [], None, 0, 0, 0)


def as_json(**fields: Any) -> bytes:
    return json.dumps(fields).encode()


@given(ITEMS)
def test_an_item_comes_back_as_it_was_sent(item: Item) -> None:
    assert ItemParser().parse_record(record(item_to_json(item), item.item_id.encode())) == (item.item_id, item)


def test_every_field_may_be_missing_or_null() -> None:
    nulls = dict.fromkeys(("title", "category", "brand", "price", "available", "tags"))
    for value in (as_json(), as_json(**nulls)):
        assert ItemParser().parse_record(record(value)) == ("i1", Item("i1"))


@pytest.mark.parametrize("value", [None, b""])
def test_an_empty_value_deletes(value: bytes | None) -> None:
    assert ItemParser().parse_record(record(value)) == ("i1", None)


def test_unknown_fields_are_kept_out_and_counted() -> None:
    parser = ItemParser()
    _, item = parser.parse_record(record(as_json(item_id="i1", title="T", colour="red", size=7)))
    assert item == Item("i1", title="T")
    assert parser.unknown_fields == 2


def test_the_largest_item_that_keeps_the_rules_is_taken() -> None:
    """`items load` has checked these rules, and no others, before it sends."""
    longest = "\U0001f600" * MAX_ID_LENGTH
    largest = Item(longest, "\x01" * MAX_TITLE_LENGTH, longest, longest, 0.1, True, (longest,) * MAX_TAGS)
    _, item = ItemParser().parse_record(record(item_to_json(largest), longest.encode()))
    assert item == largest


@pytest.mark.parametrize(
    ("value", "field", "reason"),
    [
        (b"\xff", "item", Reason.MALFORMED),
        (b"[]", "item", Reason.MALFORMED),
        (b'{"title": "\\ud800"}', "item", Reason.MALFORMED),
        (b"{" + b" " * MAX_ITEM_BYTES + b"}", "item", Reason.TOO_LARGE),
        (as_json(item_id="i2"), "item_id", Reason.WRONG_KEY),
        (as_json(title=7), "title", Reason.WRONG_TYPE),
        (as_json(title="x" * 1025), "title", Reason.TOO_LONG),
        (as_json(category="x" * (MAX_ID_LENGTH + 1)), "category", Reason.TOO_LONG),
        (as_json(brand=["b"]), "brand", Reason.WRONG_TYPE),
        (as_json(category="shoes\0"), "category", Reason.CONTROL_CHARACTER),
        (as_json(brand="\x1b[31mB"), "brand", Reason.CONTROL_CHARACTER),
        (as_json(tags=["new", "\u202ered"]), "tags", Reason.CONTROL_CHARACTER),
        (as_json(price="9.90"), "price", Reason.WRONG_TYPE),
        (as_json(price=True), "price", Reason.WRONG_TYPE),
        (as_json(price=-0.01), "price", Reason.OUT_OF_RANGE),
        (as_json(price=1e300), "price", Reason.OUT_OF_RANGE),
        (as_json(available=1), "available", Reason.WRONG_TYPE),
        (as_json(tags="new"), "tags", Reason.WRONG_TYPE),
        (as_json(tags=["x"] * 65), "tags", Reason.TOO_LARGE),
        (as_json(tags=["new", ""]), "tags", Reason.MISSING),
        (as_json(tags=["new", 1]), "tags", Reason.WRONG_TYPE),
    ],
)
def test_what_is_wrong_is_named(value: bytes, field: str, reason: Reason) -> None:
    with pytest.raises(EventError) as caught:
        ItemParser().parse_record(record(value))
    assert (caught.value.field, caught.value.reason) == (field, reason)
    assert field_label(field) == field


@pytest.mark.parametrize(
    ("key", "reason"),
    [
        (None, Reason.MISSING),
        (b"", Reason.MISSING),
        (b"\xff", Reason.MALFORMED),
        (b"x" * 257, Reason.TOO_LONG),
        (b"3\0", Reason.CONTROL_CHARACTER),
    ],
)
@pytest.mark.parametrize("value", [b"{}", None])
def test_a_key_that_is_no_item_id_is_refused(key: bytes | None, reason: Reason, value: bytes | None) -> None:
    with pytest.raises(EventError) as caught:
        ItemParser().parse_record(record(value, key))
    assert (caught.value.field, caught.value.reason) == ("key", reason)
