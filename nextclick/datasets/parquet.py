"""Opens Parquet files whose columns were checked, each failure a DatasetError. pyarrow is imported on use only."""

from collections.abc import Mapping
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING

from nextclick.datasets.errors import DatasetError, malformed, shorten

if TYPE_CHECKING:
    import pyarrow as pa


class Column(Enum):
    """Type of a column; only OPTIONAL_TEXT may hold nulls."""

    WHOLE_NUMBER = "whole numbers"
    TEXT = "text"
    OPTIONAL_TEXT = "text or null"


def read_table(file: Path, columns: Mapping[str, Column], limit: int | None = None) -> "pa.Table":
    """The named columns of the file, or of its first `limit` rows, with types and nulls checked."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(file) as parquet:
            _check_schema(file, parquet.schema_arrow, columns)
            table = parquet.read(columns=list(columns))
            # Reading takes any bytes for text; only the full validation looks whether they are UTF-8.
            table.validate(full=True)
    except (pa.ArrowException, OSError) as error:
        raise DatasetError(f"{file}: expected a sound Parquet file, found {shorten(str(error))}") from error
    table = table if limit is None else table.slice(0, limit)
    _check_nulls(file, table, columns)
    return table


def _check_schema(file: Path, schema: "pa.Schema", columns: Mapping[str, Column]) -> None:
    for name, column in columns.items():
        if name not in schema.names:
            found = ", ".join(schema.names)
            raise DatasetError(f"{file}: expected a column {name} of {column.value}, found only {shorten(found)}")
        if not _fits(schema.field(name).type, column):
            found = str(schema.field(name).type)
            raise DatasetError(f"{file}: expected the column {name} to hold {column.value}, found {found}")


def _fits(kind: "pa.DataType", column: Column) -> bool:
    import pyarrow as pa

    if column is Column.WHOLE_NUMBER:
        return bool(pa.types.is_integer(kind))
    # A column of nothing but nulls is stored as type null.
    may_be_null = column is Column.OPTIONAL_TEXT and pa.types.is_null(kind)
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or may_be_null)


def _check_nulls(file: Path, table: "pa.Table", columns: Mapping[str, Column]) -> None:
    import pyarrow.compute as pc

    for name, column in columns.items():
        if column is not Column.OPTIONAL_TEXT and table[name].null_count:
            row = pc.index(table[name].is_null(), True).as_py() + 1
            raise malformed(file, row, f"a value in column {name}", None)
