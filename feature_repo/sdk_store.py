"""Rows through Feast's own online stores, for those that have no faster way of their own here (SQLite)."""

import sqlite3
from collections.abc import Sequence
from datetime import UTC, datetime

from feast.infra.online_stores.helpers import get_online_store_from_config
from feast.protos.feast.types.EntityKey_pb2 import EntityKey
from feast.protos.feast.types.Value_pb2 import Value

from feature_repo.errors import OnlineStoreError
from feature_repo.feature_store import apply, open_feature_store
from feature_repo.redis_layout import decode_value, encode_value
from feature_repo.settings import SharedSettings
from feature_repo.views import VIEWS, Row, View


class SdkRows:
    """Writes and reads whole rows of a view. Not safe for use by several threads at once."""

    def __init__(self, settings: SharedSettings) -> None:
        store = open_feature_store(settings)
        apply(settings, store)
        self._config = store.config
        self._online_store = get_online_store_from_config(store.config.online_store)
        self._feature_views = {view.name: store.get_feature_view(view.name) for view in VIEWS}

    def write(self, view: View, rows: Sequence[Row]) -> None:
        """Insert or replace. At most one row of a key."""
        data: list[tuple[EntityKey, dict[str, Value], datetime, datetime | None]] = [
            (_entity_key(view, row.key), _to_values(view, row), _to_datetime(row.timestamp_ms), None) for row in rows
        ]
        try:
            self._online_store.online_write_batch(self._config, self._feature_views[view.name], data, None)
        except sqlite3.Error as error:
            raise OnlineStoreError(f"SQLite: {error}") from error

    def read(self, view: View, keys: Sequence[str]) -> list[Row | None]:
        """One entry a key, None where the entity has no row."""
        if not keys:
            return []
        entity_keys = [_entity_key(view, key) for key in keys]
        feature_view, names = self._feature_views[view.name], list(view.features)
        try:
            answers = self._online_store.online_read(self._config, feature_view, entity_keys, names)
        except sqlite3.Error as error:
            raise OnlineStoreError(f"SQLite: {error}") from error
        return [
            None if timestamp is None or values is None else _to_row(view, key, values, timestamp)
            for key, (timestamp, values) in zip(keys, answers, strict=True)
        ]


def _entity_key(view: View, key: str) -> EntityKey:
    return EntityKey(join_keys=[view.join_key], entity_values=[Value(string_val=key)])


def _to_values(view: View, row: Row) -> dict[str, Value]:
    return {name: Value.FromString(encode_value(kind, row.values[name])) for name, kind in view.features.items()}


def _to_datetime(timestamp_ms: int) -> datetime:
    return datetime.fromtimestamp(timestamp_ms / 1000, UTC)


def _to_row(view: View, key: str, values: dict[str, Value], timestamp: datetime) -> Row:
    decoded = {name: decode_value(kind, values[name].SerializeToString()) for name, kind in view.features.items()}
    return Row(key, decoded, round(timestamp.timestamp() * 1000))
