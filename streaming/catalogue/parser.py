"""The catalogue's edge: one message of the topic `items`, parsed and checked once into an `Item`; and the way back.

The key is the item_id in UTF-8, the value a JSON object of the other fields; an empty value deletes the item.
"""

from typing import Any

import orjson
from kafka.consumer.fetcher import ConsumerRecord

from feature_repo.catalogue.rules import FIELDS, item_of
from feature_repo.errors import Reason
from feature_repo.fields import check_id
from feature_repo.schema import Item
from streaming.errors import EventError

MAX_ITEM_BYTES = 128 * 1024
"""More than any item has that keeps the rules of its fields: a file's checked rows must all be taken here."""


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


def item_to_json(item: Item) -> bytes:
    """The value of the message whose key is the item_id."""
    return orjson.dumps({name: getattr(item, name) for name in sorted(FIELDS)})


def field_label(field: str) -> str:
    """The field of an EventError as one of few words, for a metric."""
    return field if field in FIELDS or field in ("item", "item_id", "key") else "unknown"


def _key(key: bytes | None) -> str:
    if not key:
        raise EventError("key", "the item_id in UTF-8, found nothing", Reason.MISSING)
    try:
        item_id = key.decode()
    except UnicodeDecodeError as error:
        raise EventError("key", "the item_id in UTF-8", Reason.MALFORMED) from error
    return check_id("key", item_id)


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
