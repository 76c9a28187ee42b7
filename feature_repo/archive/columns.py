"""Columns of the Parquet files that streaming writes and training reads: the event archive and the items catalogue."""

import json
from collections.abc import Sequence
from typing import Any

import pyarrow as pa

from feature_repo.schema import Event, Item

EVENT_DATE = "event_date"
"""Name of the archive's partition folders: `event_date=YYYY-MM-DD`, the UTC date of the event's own time."""

EVENT_ARCHIVE_SCHEMA = pa.schema(
    [
        pa.field("event_id", pa.string(), nullable=False),
        pa.field("event_type", pa.string(), nullable=False),
        pa.field("session_id", pa.string(), nullable=False),
        pa.field("user_id", pa.string()),
        pa.field("item_id", pa.string(), nullable=False),
        pa.field("timestamp_ms", pa.int64(), nullable=False),
        pa.field("attributes", pa.string(), nullable=False),  # a JSON object
        pa.field("event_timestamp", pa.timestamp("ms", tz="UTC"), nullable=False),  # timestamp_ms, as Feast wants it
        # where the event stood in its topic; files of the first release lack both
        pa.field("kafka_partition", pa.int32(), nullable=False),
        pa.field("kafka_offset", pa.int64(), nullable=False),
    ]
)

ITEM_SCHEMA = pa.schema(
    [
        pa.field("item_id", pa.string(), nullable=False),
        pa.field("title", pa.string(), nullable=False),
        pa.field("category", pa.string(), nullable=False),
        pa.field("brand", pa.string(), nullable=False),
        pa.field("price", pa.float64()),
        pa.field("available", pa.bool_(), nullable=False),
        pa.field("tags", pa.list_(pa.string())),
    ]
)


def events_to_table(events: Sequence[Event], offsets: Sequence[int] | None = None, partition: int = 0) -> pa.Table:
    """Rows of EVENT_ARCHIVE_SCHEMA in the order given; without offsets they are numbered from 0."""
    timestamps = [event.timestamp_ms for event in events]
    columns: list[list[Any]] = [
        [event.event_id for event in events],
        [event.event_type.value for event in events],
        [event.session_id for event in events],
        [event.user_id for event in events],
        [event.item_id for event in events],
        timestamps,
        [json.dumps(event.attributes, sort_keys=True) if event.attributes else "{}" for event in events],
        timestamps,
        [partition] * len(events),
        list(range(len(events)) if offsets is None else offsets),
    ]
    return _table(columns, EVENT_ARCHIVE_SCHEMA)


def items_to_table(items: Sequence[Item]) -> pa.Table:
    """Rows of ITEM_SCHEMA in the order given."""
    return _table([[getattr(item, name) for item in items] for name in ITEM_SCHEMA.names], ITEM_SCHEMA)


def _table(columns: list[list[Any]], schema: pa.Schema) -> pa.Table:
    arrays = [pa.array(column, field.type) for column, field in zip(columns, schema, strict=True)]
    return pa.Table.from_arrays(arrays, schema=schema)
