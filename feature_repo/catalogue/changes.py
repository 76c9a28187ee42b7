"""What a file of items changes: of an item that is known, the fields that the file names and no others."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

from feature_repo.catalogue.files import read_rows
from feature_repo.catalogue.rules import FIELDS
from feature_repo.schema import Item


def check_file(path: Path) -> tuple[int, set[str]]:
    """Check every item. Returns how many there are, and the ids of those that do not name every field.

    Raises as `read_items`.
    """
    count, partly = 0, set()
    for row in read_rows(path):
        count += 1
        if row.named != FIELDS:
            partly.add(row.item.item_id)
    return count, partly


def changed_items(path: Path, known: Mapping[str, Item]) -> Iterator[tuple[str, Item]]:
    """Ids and items as they are after the file, which may have several rows of one item, in file order.

    `known` holds items as they are now, at least those whose ids `check_file` returns, as far as they exist.
    """
    now = dict(known)
    for row in read_rows(path):
        item = row.item
        before = now.get(item.item_id)
        if row.named != FIELDS:
            if before:
                item = replace(before, **{name: getattr(item, name) for name in row.named})
            now[item.item_id] = item
        elif before:
            now[item.item_id] = item
        yield item.item_id, item
