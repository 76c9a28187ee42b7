"""Rows of a Parquet catalogue as plain Python values, of whatever types a column may sensibly have."""

import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pyarrow.types as types

from feature_repo.catalogue.rules import FIELDS
from feature_repo.errors import ItemFileError

_BATCH_ROWS = 10_000


def parquet_rows(path: Path, file: IO[bytes]) -> Iterator[tuple[int, dict[str, Any]]]:
    """Row numbers from 1, and the fields of each. Raises ItemFileError naming the column, or the file."""
    first = 1
    try:
        with pq.ParquetFile(file) as parquet:
            columns = _columns(path, parquet.schema_arrow)
            for batch in parquet.iter_batches(_BATCH_ROWS, columns=columns):
                batch.validate(full=True)  # text is UTF-8
                yield from enumerate(_plain(batch), start=first)
                first += len(batch)
    except pa.ArrowException as error:
        raise ItemFileError(f"{path} is no Parquet file that can be read: {' '.join(str(error).split())}") from error


def _columns(path: Path, schema: pa.Schema) -> list[str]:
    if "item_id" not in schema.names:
        raise ItemFileError(f"{path}: expected a column item_id, found only {', '.join(map(str, schema.names))}")
    for name in sorted(FIELDS | {"item_id"}):
        if schema.names.count(name) > 1:
            raise ItemFileError(f"{path}: expected one column {name}, found {schema.names.count(name)}")
        if name in schema.names:
            expected, fits = _TYPES.get(name, _TEXT)
            kind = schema.field(name).type
            if not fits(kind) and not types.is_null(kind):
                raise ItemFileError(f"{path}: expected the column {name} to hold {expected}, found {kind}")
    return [name for name in schema.names if name in FIELDS or name == "item_id"]


def _plain(batch: pa.RecordBatch) -> list[dict[str, Any]]:
    if "price" not in batch.schema.names:
        return batch.to_pylist()
    prices = pc.cast(batch["price"], pa.float64(), safe=False).to_pylist()
    rows: list[dict[str, Any]] = batch.drop_columns(["price"]).to_pylist()
    for fields, price in zip(rows, prices, strict=True):
        # Not a number is what pandas writes where it has no price.
        fields["price"] = None if price is None or math.isnan(price) else price
    return rows


def _is_text(kind: pa.DataType) -> bool:
    kind = kind.value_type if types.is_dictionary(kind) else kind
    return bool(types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind))


def _is_number(kind: pa.DataType) -> bool:
    return bool(types.is_integer(kind) or types.is_floating(kind) or types.is_decimal(kind))


def _is_tags(kind: pa.DataType) -> bool:
    is_list = types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind)
    return is_list and (_is_text(kind.value_type) or types.is_null(kind.value_type))


_TEXT: tuple[str, Callable[[pa.DataType], bool]] = ("text (string)", _is_text)
_TYPES: dict[str, tuple[str, Callable[[pa.DataType], bool]]] = {
    "price": ("numbers", _is_number),
    "available": ("true and false (bool)", types.is_boolean),
    "tags": ("lists of text", _is_tags),
}
