"""Reads trivago actions of the RecSys Challenge 2019 from Parquet, times in seconds.

Only actions on an item become events; filters, sort orders, destinations and points of interest are left out, and so
are items that the log calls `unknown`. What was done stays in the attribute `action_type`.
"""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from feature_repo.schema import AttributeValue, EventType, Item
from nextclick.datasets.dataset import Action, ActionEvents, Dataset, in_time_order, session_count
from nextclick.datasets.errors import malformed
from nextclick.datasets.files import check_milliseconds, find_file, is_number, parse_id
from nextclick.datasets.parquet import Column, read_table

COLUMNS = {
    "user_id": Column.TEXT,
    "session_id": Column.TEXT,
    "timestamp": Column.WHOLE_NUMBER,
    "step": Column.WHOLE_NUMBER,
    "action_type": Column.TEXT,
    "reference": Column.TEXT,
    "platform": Column.TEXT,
    "city": Column.TEXT,
    "device": Column.TEXT,
    "impressions": Column.OPTIONAL_TEXT,
    "prices": Column.OPTIONAL_TEXT,
}

EVENT_TYPES: dict[str, EventType | None] = {
    "interaction item image": EventType.VIEW,
    "interaction item info": EventType.VIEW,
    "interaction item rating": EventType.VIEW,
    "interaction item deals": EventType.VIEW,
    "search for item": EventType.VIEW,
    # Leads to the booking site: intent, but nobody knows whether a booking followed.
    "clickout item": EventType.ADD_TO_CART,
    "filter selection": None,
    "change of sort order": None,
    "search for destination": None,
    "search for poi": None,
}

UNKNOWN_ITEM = "unknown"
LICENCE = "RecSys Challenge 2019 terms of trivago, research use only"
ROWS_PER_BATCH = 10_000


def read_trivago(path: Path, limit: int | None) -> Dataset:
    file = find_file(path, "*.parquet")
    table = read_table(file, COLUMNS)
    rows = (row for batch in table.to_batches(ROWS_PER_BATCH) for row in batch.to_pylist())
    actions = list(_actions(file, rows))
    left_out = table.num_rows - len(actions)
    actions = in_time_order(actions, limit)
    events = ActionEvents("trivago", actions)
    return Dataset("trivago", _items(actions), events, session_count(actions), True, LICENCE, left_out)


def _actions(file: Path, rows: Iterable[dict[str, Any]]) -> Iterator[Action]:
    for number, row in enumerate(rows, start=1):
        if row["action_type"] not in EVENT_TYPES:
            raise malformed(file, number, f"an action_type of {', '.join(EVENT_TYPES)}", row["action_type"])
        event_type = EVENT_TYPES[row["action_type"]]
        if event_type is not None and row["reference"] != UNKNOWN_ITEM:
            yield _action(file, number, event_type, row)


def _action(file: Path, number: int, event_type: EventType, row: dict[str, Any]) -> Action:
    if not is_number(row["reference"]):
        raise malformed(file, number, f"an item number or {UNKNOWN_ITEM!r} as reference", row["reference"])
    milliseconds = row["timestamp"] * 1000
    return Action(
        check_milliseconds(file, number, milliseconds, "seconds since 1970", row["timestamp"]),
        parse_id(file, number, "a session_id", row["session_id"]),
        parse_id(file, number, "a reference", row["reference"]),
        event_type,
        parse_id(file, number, "a user_id", row["user_id"]),
        _attributes(file, number, row),
    )


def _attributes(file: Path, number: int, row: dict[str, Any]) -> dict[str, AttributeValue]:
    """Where and how; for a click-out also the slate that was shown and its prices, joined by `|` as in the file."""
    attributes = {name: row[name] for name in ("action_type", "step", "platform", "city", "device")}
    if row["impressions"] is not None:
        _slate_prices(file, number, row)
        attributes |= {"impressions": row["impressions"], "prices": row["prices"]}
    return attributes


def _slate_prices(file: Path, number: int, row: dict[str, Any]) -> None:
    items, prices = row["impressions"].split("|"), (row["prices"] or "").split("|")
    if len(items) != len(prices) or not all(map(is_number, items + prices)):
        raise malformed(file, number, "impressions and prices: numbers joined by |, as many of one", row["prices"])


def _items(actions: Iterable[Action]) -> list[Item]:
    """Items that were acted on or shown, at the price last shown."""
    prices: dict[str, float | None] = {}
    for action in actions:
        prices.setdefault(action.item_id, None)
        attributes = action.attributes or {}
        if "impressions" in attributes:
            slate, shown = str(attributes["impressions"]).split("|"), str(attributes["prices"]).split("|")
            prices |= zip(slate, map(float, shown), strict=True)
    return [Item(item_id, price=price) for item_id, price in prices.items()]
