"""An item out of names and values, wherever they came from: the topic `items` or a file."""

from collections.abc import Mapping
from typing import Any

from feature_repo.errors import FieldError, Reason
from feature_repo.fields import check_flag, check_id, check_name, check_price, check_text
from feature_repo.schema import Item

MAX_TITLE_LENGTH = 1024
"""Characters."""
MAX_TAGS = 64

FIELDS = frozenset(("title", "category", "brand", "price", "available", "tags"))
"""All of them may be missing."""


def item_of(fields: Mapping[str, Any]) -> Item:
    """Check every field once, those that are null or missing getting their defaults. Unknown ones are left out.

    Raises FieldError naming the field, what was expected of it, and the reason.
    """
    available, price = fields.get("available"), fields.get("price")
    return Item(
        item_id=check_id("item_id", fields.get("item_id")),
        title=check_text("title", fields.get("title"), MAX_TITLE_LENGTH),
        category=check_name("category", fields.get("category")),
        brand=check_name("brand", fields.get("brand")),
        price=None if price is None else float(check_price("price", price)),
        available=available is None or check_flag("available", available),
        tags=_tags(fields.get("tags")),
    )


def _tags(value: object) -> tuple[str, ...]:
    if value is None:
        return ()
    expected = f"a list of at most {MAX_TAGS} strings"
    if type(value) is not list:
        raise FieldError("tags", expected, Reason.WRONG_TYPE)
    if len(value) > MAX_TAGS:
        raise FieldError("tags", f"{expected}, found {len(value)}", Reason.TOO_LARGE)
    return tuple(check_id("tags", tag) for tag in value)
