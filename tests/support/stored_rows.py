"""Whole sessions, items and shards of popular items in the online store, written and read as single rows."""

import time
from collections.abc import Iterable

from feature_repo.online.popularity import PopularityShard
from feature_repo.online.redis_layout import LAYOUTS
from feature_repo.online.redis_rows import RedisRows
from feature_repo.online.rows import EncodedRow
from feature_repo.schema import Item
from feature_repo.session import Session
from feature_repo.settings import SharedSettings
from feature_repo.views import (
    ITEM_PROFILE,
    POPULAR_ITEMS,
    SESSION_EVENTS,
    Row,
    View,
    item_from_row,
    item_to_row,
    popular_key,
    popular_scope,
    session_from_row,
    session_to_row,
)


class StoredRows:
    """For one thread; its methods raise OnlineStoreError."""

    def __init__(self, settings: SharedSettings) -> None:
        self._rows = RedisRows(settings)

    def write_sessions(self, sessions: Iterable[Session]) -> None:
        """Store sessions as of their newest event."""
        self._write(SESSION_EVENTS, map(session_to_row, sessions))

    def write_items(self, items: Iterable[Item]) -> None:
        """Store catalogue features as of now."""
        now_ms = time.time_ns() // 1_000_000
        self._write(ITEM_PROFILE, (item_to_row(item, now_ms) for item in items))

    def write_popularity(self, popularity: PopularityShard, scope: str = popular_scope(), shard: int = 0) -> None:
        """Store one shard of a scope as it is."""
        self._rows.write([EncodedRow(POPULAR_ITEMS, popular_key(scope, shard), popularity.encoded())])

    def read_sessions(self, session_ids: Iterable[str]) -> dict[str, Session]:
        """The stored sessions among those asked for, stale ones included."""
        return {row.key: session_from_row(row) for row in self._read(SESSION_EVENTS, list(session_ids))}

    def read_items(self, item_ids: Iterable[str]) -> dict[str, Item]:
        """The stored items among those asked for, stale ones included."""
        return {row.key: item_from_row(row) for row in self._read(ITEM_PROFILE, list(item_ids))}

    def close(self) -> None:
        """Give the connection back."""
        self._rows.close()

    def _write(self, view: View, rows: Iterable[Row]) -> None:
        self._rows.write([EncodedRow(view, row.key, LAYOUTS[view.name].encode(row)) for row in rows])

    def _read(self, view: View, keys: list[str]) -> list[Row]:
        found = zip(keys, self._rows.read([(view, key) for key in keys]), strict=True)
        return [row for key, encoded in found if (row := LAYOUTS[view.name].decode(key, encoded)) is not None]
