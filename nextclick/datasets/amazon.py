"""Reads Amazon reviews as S3-Rec prepares them: `user item item …` a line in time order, and attributes in JSON.

A user's reviews are one session and each is a `comment`. Times are made up: a second between any two events.
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import chain, count
from pathlib import Path

from feature_repo.schema import EventType, Item
from nextclick.datasets.dataset import (
    SYNTHETIC_START_MS,
    SYNTHETIC_STEP_MS,
    Action,
    ActionEvents,
    Dataset,
    in_time_order,
    session_count,
)
from nextclick.datasets.errors import malformed
from nextclick.datasets.files import find_file, parse_numbers, read_json, read_lines, require_file

LICENCE = "Amazon review data of the McAuley lab, research use only"


def read_amazon(path: Path, limit: int | None) -> Dataset:
    file = find_file(path, "*.txt")
    attributes = _attributes(require_file(file.with_name(f"{file.stem}_item2attributes.json")))
    actions = in_time_order(_actions(file), limit)
    items = _items(actions, attributes)
    return Dataset("amazon", items, ActionEvents("amazon", actions), session_count(actions), False, LICENCE)


def _actions(file: Path) -> Iterator[Action]:
    clock = count(SYNTHETIC_START_MS, SYNTHETIC_STEP_MS)
    seen: set[str] = set()
    for line, text in read_lines(file):
        user, *items = parse_numbers(file, line, "a user number and item numbers separated by single spaces", text)
        if not items:
            raise malformed(file, line, "at least one item number after the user number", text)
        if user in seen:
            raise malformed(file, line, "each user on one line only", f"user {user} again")
        seen.add(user)
        for item in items:
            yield Action(next(clock), user, item, EventType.COMMENT, user)


def _attributes(file: Path) -> dict[str, list[int]]:
    content = read_json(file)
    if not isinstance(content, dict):
        raise malformed(file, 1, "an object of item number → list of attribute numbers", content)
    for item, numbers in content.items():
        if not isinstance(numbers, list) or not all(type(number) is int for number in numbers):
            raise malformed(file, 1, f"a list of attribute numbers for item {item!r}", numbers)
    return content


def _items(actions: Iterable[Action], attributes: dict[str, list[int]]) -> list[Item]:
    """Catalogue whose category is an item's most widespread attribute, as nothing says which of them is one."""
    spread = Counter(chain.from_iterable(attributes.values()))
    item_ids = dict.fromkeys(chain((action.item_id for action in actions), attributes))
    widest = {item: max(numbers, key=lambda number: spread[number]) for item, numbers in attributes.items() if numbers}
    return [Item(item, category=str(widest.get(item, ""))) for item in item_ids]
