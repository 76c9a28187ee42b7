"""The catalogue's edge: one message of the topic `items`, parsed and checked once into an `Item`; and the way back.

The key is the item_id in UTF-8, the value a JSON object of the other fields; an empty value deletes the item.
"""

from collections.abc import Mapping
from typing import Any

import orjson
from kafka.consumer.fetcher import ConsumerRecord

from feature_repo.schema import MAX_ID_LENGTH, Item
from streaming.errors import EventError, Reason

MAX_ITEM_BYTES = 64 * 1024
MAX_TITLE_LENGTH = 1024
"""Characters."""
MAX_TAGS = 64
MAX_PRICE = 2.0**53

FIELDS = frozenset(("title", "category", "brand", "price", "available", "tags"))
"""All of them may be missing."""

_ID = f"a string of 1 to {MAX_ID_LENGTH} characters"
_TAGS = f"a list of at most {MAX_TAGS} strings of 1 to {MAX_ID_LENGTH} characters"


class ItemParser:
    """Parses messages, and counts what it kept out of their items. For one thread."""

    def __init__(self) -> None:
        self.unknown_fields = 0
        """Fields that the schema does not have, dropped so far."""

    def parse_record(self, record: ConsumerRecord) -> tuple[str, Item | None]:
        """The item_id, and the item or None if the message deletes it.

        Raises EventError naming the field, what was expected of it, and the reason.
        """
        item_id = _key(record.key)
        if not record.value:
            return item_id, None
        fields = _read(record.value)
        if fields.get("item_id", item_id) != item_id:
            raise EventError("item_id", "the same as the key, or not to be there", Reason.WRONG_KEY)
        item = item_of({**fields, "item_id": item_id})
        self.unknown_fields += len(fields.keys() - FIELDS - {"item_id"})
        return item_id, item


def item_of(fields: Mapping[str, Any]) -> Item:
    """Check every field once, those that are null or missing getting their defaults. Unknown ones are left out.

    Raises EventError naming the field, what was expected of it, and the reason.
    """
    available = fields.get("available")
    if available is not None and type(available) is not bool:
        raise EventError("available", "true or false", Reason.WRONG_TYPE)
    return Item(
        item_id=_id("item_id", fields.get("item_id"), _ID),
        title=_text("title", fields.get("title"), MAX_TITLE_LENGTH),
        category=_text("category", fields.get("category"), MAX_ID_LENGTH),
        brand=_text("brand", fields.get("brand"), MAX_ID_LENGTH),
        price=_price(fields.get("price")),
        available=available is not False,
        tags=_tags(fields.get("tags")),
    )


def item_to_json(item: Item) -> bytes:
    """The value of the message whose key is the item_id."""
    return orjson.dumps({name: getattr(item, name) for name in sorted(FIELDS)})


def field_label(field: str) -> str:
    """The field of an EventError as one of few words, for a metric."""
    return field if field in FIELDS or field in ("item", "item_id", "key") else "unknown"


def _key(key: bytes | None) -> str:
    expected = f"the item_id in UTF-8, 1 to {MAX_ID_LENGTH} characters"
    if not key:
        raise EventError("key", expected, Reason.MISSING)
    try:
        item_id = key.decode()
    except UnicodeDecodeError as error:
        raise EventError("key", expected, Reason.MALFORMED) from error
    if len(item_id) > MAX_ID_LENGTH:
        raise EventError("key", expected, Reason.TOO_LONG)
    return item_id


def _read(message: bytes) -> dict[str, Any]:
    if len(message) > MAX_ITEM_BYTES:
        raise EventError("item", f"at most {MAX_ITEM_BYTES} bytes, got {len(message)}", Reason.TOO_LARGE)
    try:
        fields = orjson.loads(message)
    except ValueError as error:
        raise EventError("item", "a JSON object in UTF-8", Reason.MALFORMED) from error
    if type(fields) is not dict:
        raise EventError("item", "a JSON object", Reason.MALFORMED)
    return fields


def _id(name: str, value: object, expected: str) -> str:
    if value is None or value == "":
        raise EventError(name, expected, Reason.MISSING)
    if type(value) is not str:
        raise EventError(name, expected, Reason.WRONG_TYPE)
    if len(value) > MAX_ID_LENGTH:
        raise EventError(name, expected, Reason.TOO_LONG)
    return value


def _text(name: str, value: object, limit: int) -> str:
    if value is None:
        return ""
    if type(value) is not str:
        raise EventError(name, f"a string of at most {limit} characters", Reason.WRONG_TYPE)
    if len(value) > limit:
        raise EventError(name, f"a string of at most {limit} characters, got {len(value)}", Reason.TOO_LONG)
    return value


def _price(value: object) -> float | None:
    if value is None:
        return None
    if type(value) is not int and type(value) is not float:
        raise EventError("price", "a number from 0", Reason.WRONG_TYPE)
    if not 0 <= value <= MAX_PRICE:  # which nothing holds for that is no number
        raise EventError("price", "a number from 0", Reason.OUT_OF_RANGE)
    return float(value)


def _tags(value: object) -> tuple[str, ...]:
    if value is None:
        return ()
    if type(value) is not list:
        raise EventError("tags", _TAGS, Reason.WRONG_TYPE)
    if len(value) > MAX_TAGS:
        raise EventError("tags", _TAGS, Reason.TOO_LARGE)
    return tuple(_id("tags", tag, _TAGS) for tag in value)
