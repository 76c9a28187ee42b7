"""Rows through Feast's own online stores, for those that have no faster way of their own here (SQLite)."""

import sqlite3
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import cast

from feast.infra.key_encoding_utils import serialize_entity_key
from feast.infra.online_stores.helpers import get_online_store_from_config
from feast.infra.online_stores.sqlite import SqliteOnlineStore, _quote_id, _table_id
from feast.protos.feast.types.EntityKey_pb2 import EntityKey
from feast.protos.feast.types.Value_pb2 import Value

from feature_repo.errors import OnlineStoreError
from feature_repo.feature_store import apply, open_feature_store
from feature_repo.online import wire_values
from feature_repo.online.redis_layout import Encoded, decode_timestamp
from feature_repo.online.rows import Begun, EncodedRow, Wanted
from feature_repo.settings import SharedSettings
from feature_repo.views import VIEWS, View


class SdkRows:
    """Writes and reads whole rows of a view. Not safe for use by several threads at once."""

    def __init__(self, settings: SharedSettings) -> None:
        store = open_feature_store(settings)
        apply(settings, store)
        self._config = store.config
        self._online_store = get_online_store_from_config(store.config.online_store)
        self._feature_views = {view.name: store.get_feature_view(view.name) for view in VIEWS}

        self._positions: dict[str, int] = {}
        self._rewritten = 0

    def write(self, rows: Sequence[EncodedRow]) -> None:
        """Insert or replace. At most one row of a key."""
        for view in VIEWS:
            data: list[tuple[EntityKey, dict[str, Value], datetime, datetime | None]] = [
                (_entity_key(view, row.key), _to_values(view, row.values), _to_datetime(row.values[-1]), None)
                for row in rows
                if row.view is view
            ]
            if data:
                self._write(view, data)

    def _write(self, view: View, data: list[tuple[EntityKey, dict[str, Value], datetime, datetime | None]]) -> None:
        try:
            self._online_store.online_write_batch(self._config, self._feature_views[view.name], data, None)
        except sqlite3.Error as error:
            raise OnlineStoreError(f"SQLite: {error}") from error

    def read(self, wanted: Wanted) -> list[Encoded | None]:
        """One entry for each row asked for, None where there is none."""
        found: dict[tuple[str, str], Encoded | None] = {}
        for view in VIEWS:
            keys = [key for asked, key in wanted if asked is view]
            found |= {(view.name, key): row for key, row in zip(keys, self._read(view, keys), strict=True)}
        return [found[view.name, key] for view, key in wanted]

    def _read(self, view: View, keys: Sequence[str]) -> list[Encoded | None]:
        if not keys:
            return []
        entity_keys = [_entity_key(view, key) for key in keys]
        feature_view, names = self._feature_views[view.name], list(view.features)
        try:
            answers = self._online_store.online_read(self._config, feature_view, entity_keys, names)
        except sqlite3.Error as error:
            raise OnlineStoreError(f"SQLite: {error}") from error
        return [_to_encoded(view, values, timestamp) for timestamp, values in answers]

    def delete(self, rows: Wanted) -> None:
        """Remove rows; those that are not there are no error."""
        for view, key in rows:
            self._delete(view, key)

    def _delete(self, view: View, key: str) -> None:
        config = self._config  # Feast has no call of its own to delete rows
        versioned = config.registry.enable_online_feature_view_versioning
        table = _quote_id(_table_id(config.project, self._feature_views[view.name], versioned))
        serialized = serialize_entity_key(_entity_key(view, key), config.entity_key_serialization_version)
        try:
            with cast(SqliteOnlineStore, self._online_store)._get_conn(config) as connection:
                connection.execute(f"DELETE FROM {table} WHERE entity_key = ?", (serialized,))  # noqa: S608
        except sqlite3.Error as error:
            raise OnlineStoreError(f"SQLite: {error}") from error

    def begin(self, partitions: Sequence[str], wanted: Wanted, shared: Wanted = ()) -> Begun:
        """As RedisRows; positions live as long as this object, so a crash may count popularity twice."""
        positions = [self._positions.get(partition, 0) for partition in partitions]
        return Begun(positions, self.read(wanted), self.read_revised(shared), self._rewritten, forgets_positions=True)

    def send_commit(
        self, positions: Mapping[str, int], rows: Sequence[EncodedRow], *, is_rewrite: bool
    ) -> Callable[[], bool]:
        """As RedisRows, for the one process that may write to the file."""
        self.write(rows)
        self._positions |= positions
        self._rewritten += is_rewrite
        return lambda: True

    def read_revised(self, wanted: Wanted) -> list[tuple[int, Encoded | None]]:
        """As RedisRows; the revision does not matter."""
        return [(0, row) for row in self.read(wanted)]

    def send_swap(self, rows: Sequence[EncodedRow], revisions: Sequence[int]) -> Callable[[], list[bool]]:
        """As RedisRows, for the one process that may write to the file."""
        self.write(rows)
        return lambda: [True] * len(rows)

    def close(self) -> None:
        """Nothing to give back."""


def _entity_key(view: View, key: str) -> EntityKey:
    return EntityKey(join_keys=[view.join_key], entity_values=[Value(string_val=key)])


def _to_values(view: View, values: Encoded) -> dict[str, Value]:
    return {name: Value.FromString(raw or b"") for name, raw in zip(view.features, values, strict=False)}


def _to_datetime(raw: bytes) -> datetime:
    return datetime.fromtimestamp(decode_timestamp(raw) / 1000, UTC)


def _to_encoded(view: View, values: dict[str, Value] | None, timestamp: datetime | None) -> Encoded | None:
    if timestamp is None or values is None:
        return None
    encoded = [values[name].SerializeToString(deterministic=True) for name in view.features]
    return [*encoded, wire_values.timestamp(round(timestamp.timestamp() * 1000))]
