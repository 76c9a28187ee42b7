"""What the online store keeps: the feature views, their features and types, and how sessions become their rows.

`definitions.py` tells Feast the same views.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum
from typing import Any

from feature_repo import schema
from feature_repo.schema import EVENT_TYPES, Event, Item
from feature_repo.session import Session


class FeatureType(StrEnum):
    """Types a feature may have, named as the field of Feast's `Value` message that carries them."""

    STRING = "string_val"
    INT64 = "int64_val"
    DOUBLE = "double_val"
    BOOL = "bool_val"
    STRING_LIST = "string_list_val"
    INT64_LIST = "int64_list_val"
    DOUBLE_LIST = "double_list_val"

    @property
    def is_list(self) -> bool:
        """Whether a value is a list."""
        return self.endswith("_list_val")


@dataclass(frozen=True)
class View:
    """A feature view of one entity, found by the string `join_key`; a row older than `ttl` is stale."""

    name: str
    join_key: str
    ttl: timedelta
    features: Mapping[str, FeatureType] = field(hash=False)


SESSION_EVENTS = View(
    schema.SESSION_EVENTS,
    "session_id",
    schema.SESSION_TTL,
    {
        # one entry an event, in event-time order, at most MAX_SESSION_LENGTH
        "event_ids": FeatureType.STRING_LIST,
        "item_ids": FeatureType.STRING_LIST,
        "event_types": FeatureType.STRING_LIST,
        "timestamps_ms": FeatureType.INT64_LIST,
        "user_id": FeatureType.STRING,
        "user_seen_ms": FeatureType.INT64,
    },
)

USER_HISTORY = View(
    schema.USER_HISTORY,
    "user_id",
    schema.HISTORY_TTL,
    {
        # one entry an event of any session or device, in event-time order, at most MAX_HISTORY_LENGTH
        "event_ids": FeatureType.STRING_LIST,
        "item_ids": FeatureType.STRING_LIST,
        "event_types": FeatureType.STRING_LIST,
        "timestamps_ms": FeatureType.INT64_LIST,
        "session_ids": FeatureType.STRING_LIST,
    },
)

ITEM_PROFILE = View(
    schema.ITEM_PROFILE,
    "item_id",
    schema.ITEM_TTL,
    {
        "title": FeatureType.STRING,
        "category": FeatureType.STRING,
        "brand": FeatureType.STRING,
        "price": FeatureType.DOUBLE,
        "available": FeatureType.BOOL,
        "tags": FeatureType.STRING_LIST,
    },
)

POPULAR_ITEMS = View(
    schema.POPULAR_ITEMS,
    "scope",
    schema.POPULAR_ITEMS_TTL,
    {
        # in no order; a score is the sum over events of 2 ** ((timestamp_ms - landmark_ms) / half-life)
        "item_ids": FeatureType.STRING_LIST,
        "scores": FeatureType.DOUBLE_LIST,
        "landmark_ms": FeatureType.INT64,
    },
)
"""One row for each scope (`popular_scope`) and partition of the event topic, its shard: see `popular_key`."""

VIEWS = (SESSION_EVENTS, USER_HISTORY, ITEM_PROFILE, POPULAR_ITEMS)


@dataclass(frozen=True, slots=True)
class Row:
    """One entity's values in one view, true as of `timestamp_ms`."""

    key: str
    values: dict[str, Any]
    timestamp_ms: int


def popular_scope(category: str = "") -> str:
    """The scope of a category, or without one of the whole catalogue."""
    return f"category:{category}" if category else "all"


def popular_key(scope: str, shard: int) -> str:
    """The entity that holds what one partition's events add to a scope."""
    return f"{scope}/{shard}"


def session_to_row(session: Session) -> Row:
    """A row of SESSION_EVENTS, stamped with the newest event's own time."""
    values = {
        "event_ids": [event.event_id for event in session.events],
        "item_ids": [event.item_id for event in session.events],
        "event_types": [event.event_type.value for event in session.events],
        "timestamps_ms": [event.timestamp_ms for event in session.events],
        "user_id": session.user_id,
        "user_seen_ms": session.user_seen_ms,
    }
    return Row(session.session_id, values, session.timestamp_ms)


def session_from_row(row: Row) -> Session:
    """The session that `session_to_row` was given."""
    values = row.values
    columns = zip(values["event_ids"], values["event_types"], values["item_ids"], values["timestamps_ms"], strict=True)
    events = tuple(
        Event(event_id, EVENT_TYPES[event_type], row.key, item_id, timestamp_ms)
        for event_id, event_type, item_id, timestamp_ms in columns
    )
    return Session(row.key, values["user_id"] or None, events, values["user_seen_ms"] or 0)


def history_to_row(user_id: str, history: Sequence[Event]) -> Row:
    """A row of USER_HISTORY, stamped with the newest event's own time. The events are those of `history_of`."""
    values = {
        "event_ids": [event.event_id for event in history],
        "item_ids": [event.item_id for event in history],
        "event_types": [event.event_type.value for event in history],
        "timestamps_ms": [event.timestamp_ms for event in history],
        "session_ids": [event.session_id for event in history],
    }
    return Row(user_id, values, history[-1].timestamp_ms)


def history_from_row(row: Row) -> list[Event]:
    """The events of a row of USER_HISTORY, oldest first."""
    names = ("event_ids", "event_types", "session_ids", "item_ids", "timestamps_ms")
    return [
        Event(event_id, EVENT_TYPES[event_type], session_id, item_id, timestamp_ms, row.key)
        for event_id, event_type, session_id, item_id, timestamp_ms in zip(
            *(row.values[name] for name in names), strict=True
        )
    ]


def item_to_row(item: Item, now_ms: int) -> Row:
    """A row of ITEM_PROFILE. A catalogue has no time of its own, so it is true as of now."""
    values = {name: getattr(item, name) for name in ITEM_PROFILE.features}
    return Row(item.item_id, values, now_ms)


def item_from_row(row: Row) -> Item:
    """The item that `item_to_row` was given."""
    return Item(row.key, **{**row.values, "tags": tuple(row.values["tags"])})
