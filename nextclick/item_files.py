"""Catalogues as files: Parquet with the columns of `archive_schema.ITEM_SCHEMA`; a JSON object a line is read, too."""

import math
import secrets
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import orjson

from feature_repo.schema import Item
from runtime.errors import NextclickError
from streaming.catalogue.parser import FIELDS, item_of
from streaming.errors import EventError

_BATCH_ROWS = 10_000
_FIELDS = FIELDS | {"item_id"}


class ItemFileError(NextclickError):
    """A file of items cannot be read, or one of its rows is no valid item."""


def read_items(path: Path) -> Iterator[Item]:
    """The items in file order. Only `item_id` has to be there; what the schema does not know is left out.

    Raises ItemFileError naming the row, counted from 1, and the field.
    """
    for row, fields in _rows(path):
        if not isinstance(fields, dict):
            raise ItemFileError(f"{path} row {row}: expected a JSON object")
        try:
            yield item_of(fields)
        except EventError as error:
            raise ItemFileError(f"{path} row {row}: {error}") from error


def count_items(path: Path) -> int:
    """How many items there are, each of them checked. Raises as `read_items`."""
    return sum(1 for _ in read_items(path))


def _rows(path: Path) -> Iterator[tuple[int, Any]]:
    try:
        with path.open("rb") as file:
            is_parquet = file.read(4) == b"PAR1"
        yield from enumerate(_parquet_rows(path), start=1) if is_parquet else _json_rows(path)
    except OSError as error:
        raise ItemFileError(f"{path} cannot be read: {error.strerror or error}") from error


def _parquet_rows(path: Path) -> Iterator[Any]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as file:
            columns = [name for name in file.schema_arrow.names if name in _FIELDS]
            for batch in file.iter_batches(_BATCH_ROWS, columns=columns):
                yield from map(_without_nan, batch.to_pylist())
    except pa.ArrowException as error:
        raise ItemFileError(f"{path} is no Parquet file that can be read: {error}") from error


def _without_nan(fields: dict[str, Any]) -> dict[str, Any]:
    """What pandas writes where it has no price."""
    price = fields.get("price")
    return fields | {"price": None} if isinstance(price, float) and math.isnan(price) else fields


def _json_rows(path: Path) -> Iterator[tuple[int, Any]]:
    with path.open("rb") as file:
        for row, line in enumerate(file, start=1):
            if line.isspace():
                continue
            try:
                yield row, orjson.loads(line)
            except ValueError as error:
                raise ItemFileError(f"{path} row {row}: expected a JSON object on a line, in UTF-8") from error


def write_items(path: Path, items: Sequence[Item]) -> None:
    """Replace the Parquet file at once, so that who reads it sees the old one or the new one whole.

    Raises ItemFileError.
    """
    import pyarrow.parquet as pq

    from feature_repo.archive.columns import items_to_table

    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(items_to_table(items), temporary, compression="zstd")
        temporary.replace(path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise ItemFileError(f"{path} cannot be written: {error.strerror or error}") from error
