"""How Feast 0.67 lays a feature view out in Redis, so that rows can be written and read without its SDK.

Importing Feast takes seconds and hundreds of MB, hence keys, fields and values are encoded here; parity tests hold
this file to what `feast.infra.online_stores.redis` reads and writes.
"""

import struct
from collections.abc import Sequence
from functools import cache
from typing import Any

import mmh3
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from feature_repo.schema import PROJECT
from feature_repo.views import VIEWS, FeatureType, Row, View

Encoded = Sequence[bytes | None]
"""The values of a row as the store keeps them, in the order of its view's features, and last its time stamp."""

_STRING = 2  # feast.types.ValueType.STRING
_UINT32 = struct.Struct("<I")
_KEY_TAIL = PROJECT.encode()

_SCALARS = {
    "string_val": (2, "STRING"),
    "int64_val": (4, "INT64"),
    "double_val": (5, "DOUBLE"),
    "bool_val": (7, "BOOL"),
}
_LISTS = {"string_list_val": (12, "STRING"), "int64_list_val": (14, "INT64"), "double_list_val": (15, "DOUBLE")}


def _build_value_class() -> type[Message]:
    """The part of Feast's `Value` message that our views use, in a pool apart from the one Feast defines it in."""
    field_type = descriptor_pb2.FieldDescriptorProto
    file = descriptor_pb2.FileDescriptorProto(name="value.proto", package="feast.types", syntax="proto3")
    value = file.message_type.add(name="Value")
    value.oneof_decl.add(name="val")
    for name, (number, type_name) in _SCALARS.items():
        value.field.add(name=name, number=number, type=f"TYPE_{type_name}", label="LABEL_OPTIONAL", oneof_index=0)
    for name, (number, type_name) in _LISTS.items():
        items = file.message_type.add(name=f"{type_name.title()}List")
        items.field.add(name="val", number=1, type=f"TYPE_{type_name}", label="LABEL_REPEATED")
        value.field.add(
            name=name,
            number=number,
            type=field_type.TYPE_MESSAGE,
            type_name=f".feast.types.{items.name}",
            label="LABEL_OPTIONAL",
            oneof_index=0,
        )
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("feast.types.Value"))


_Value: Any = _build_value_class()


def row_key(view: View, key: str) -> bytes:
    """Redis key of an entity: the entity key of serialization version 3, then the project."""
    value = key.encode()
    return _key_head(view.join_key) + _UINT32.pack(len(value)) + value + _KEY_TAIL


@cache
def _key_head(join_key: str) -> bytes:
    name = join_key.encode()
    return struct.pack("<III", 1, _STRING, len(name)) + name + _UINT32.pack(_STRING)


class ViewLayout:
    """Hash fields of one view: one for each feature in the view's order, then the row's timestamp."""

    def __init__(self, view: View) -> None:
        self.view = view
        self.fields = [*(_hash_field(view.name, name) for name in view.features), f"_ts:{view.name}".encode()]

    def encode(self, row: Row) -> list[bytes]:
        """What stands in `fields`, in their order."""
        values = [encode_value(kind, row.values[name]) for name, kind in self.view.features.items()]
        return [*values, _encode_timestamp(row.timestamp_ms)]

    def decode(self, key: str, encoded: Encoded | None) -> Row | None:
        """The row of what stands in `fields`; None where the entity has no row in this view."""
        *values, timestamp = encoded or [None]
        if timestamp is None:
            return None
        features = zip(self.view.features.items(), values, strict=True)
        return Row(key, {name: decode_value(kind, raw) for (name, kind), raw in features}, decode_timestamp(timestamp))


def _hash_field(view_name: str, feature: str) -> bytes:
    return struct.pack("<I", mmh3.hash(f"{view_name}:{feature}", signed=False))


LAYOUTS = {view.name: ViewLayout(view) for view in VIEWS}


def encode_value(kind: FeatureType, value: Any) -> bytes:
    """A serialized `Value`; None is the empty message."""
    if value is None:
        return b""
    message = _Value()
    if kind.is_list:
        items = getattr(message, kind)
        items.SetInParent()  # tells an empty list from null
        items.val.extend(value)
    else:
        setattr(message, kind, value)
    return bytes(message.SerializeToString())


def decode_value(kind: FeatureType, raw: bytes | None) -> Any:
    """What `encode_value` was given. A list that is not there is empty."""
    if not raw:
        return [] if kind.is_list else None
    message = _Value.FromString(raw)
    if kind.is_list:
        return list(getattr(message, kind).val)
    return getattr(message, kind) if message.HasField(kind) else None


def _encode_timestamp(timestamp_ms: int) -> bytes:
    timestamp = Timestamp(seconds=timestamp_ms // 1000, nanos=timestamp_ms % 1000 * 1_000_000)
    return bytes(timestamp.SerializeToString())


def decode_timestamp(raw: bytes) -> int:
    """Milliseconds since the epoch of a row's time stamp."""
    timestamp = Timestamp.FromString(raw)
    return timestamp.seconds * 1000 + timestamp.nanos // 1_000_000
