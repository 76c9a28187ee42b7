"""Rows through Feast's own online store on Redis, which ours is held to. Feast's SDK finds rows by these calls too."""

from collections.abc import Sequence
from datetime import UTC, datetime

from feast import FeatureStore
from feast.infra.online_stores.helpers import get_online_store_from_config
from feast.protos.feast.types.EntityKey_pb2 import EntityKey
from feast.protos.feast.types.Value_pb2 import Value

from feature_repo.online import wire_values
from feature_repo.online.redis_layout import Encoded, decode_timestamp
from feature_repo.online.rows import EncodedRow, Wanted
from feature_repo.views import View


class FeastRows:
    """Writes and reads whole rows of a view whose definitions were applied."""

    def __init__(self, store: FeatureStore) -> None:
        self._store = store
        self._online_store = get_online_store_from_config(store.config.online_store)

    def write(self, rows: Sequence[EncodedRow]) -> None:
        """Insert or replace."""
        for row in rows:
            self._write(row)

    def read(self, wanted: Wanted) -> list[Encoded | None]:
        """One entry for each row asked for, None where there is none."""
        return [self._read(view, key) for view, key in wanted]

    def _write(self, row: EncodedRow) -> None:
        values = {name: Value.FromString(raw) for name, raw in zip(row.view.features, row.values, strict=False)}
        at = datetime.fromtimestamp(decode_timestamp(row.values[-1]) / 1000, UTC)
        view = self._store.get_feature_view(row.view.name)
        data = [(_entity_key(row.view, row.key), values, at, None)]
        self._online_store.online_write_batch(self._store.config, view, data, None)

    def _read(self, view: View, key: str) -> Encoded | None:
        feature_view, names = self._store.get_feature_view(view.name), list(view.features)
        answers = self._online_store.online_read(self._store.config, feature_view, [_entity_key(view, key)], names)
        ((at, values),) = answers
        return _encoded(view, values, at)


def _entity_key(view: View, key: str) -> EntityKey:
    return EntityKey(join_keys=[view.join_key], entity_values=[Value(string_val=key)])


def _encoded(view: View, values: dict[str, Value] | None, at: datetime | None) -> Encoded | None:
    if not at or not values or not at.timestamp():  # of a row that is not there Feast says that it is of 1970
        return None
    encoded = [values[name].SerializeToString(deterministic=True) for name in view.features]
    return [*encoded, wire_values.timestamp(round(at.timestamp() * 1000))]
