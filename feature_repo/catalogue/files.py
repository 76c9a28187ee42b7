"""Catalogues as files: Parquet with columns named as in `archive.columns.ITEM_SCHEMA`, or a JSON object a line.

What a file is shows in its first bytes, whatever it is called. This is the one reader of every verb.
"""

import codecs
import gzip
import secrets
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from io import TextIOWrapper
from pathlib import Path
from typing import IO, Any

import orjson

from feature_repo.catalogue.rules import FIELDS, item_of
from feature_repo.errors import FieldError, ItemFileError
from feature_repo.schema import Item

_HEAD = 4096
_GZIP, _PARQUET = b"\x1f\x8b", b"PAR1"

_OTHER_FORMATS = {
    b"PARE": "encrypted Parquet",
    b"PK\x03\x04": "a zip file (Excel's are such)",
    b"\x28\xb5\x2f\xfd": "compressed with zstd",
    b"BZh": "compressed with bzip2",
    b"\xfd7zXZ": "compressed with xz",
    b"\x04\x22\x4d\x18": "compressed with lz4",
    b"ARROW1": "an Arrow (Feather) file",
    b"ORC": "an ORC file",
    b"Obj\x01": "an Avro file",
    _GZIP: "compressed with gzip twice",
}
_ENCODINGS = {  # the longer marks first: UTF-32's begins with UTF-16's
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
    b"{\x00": "utf-16-le",
    b"\x00{": "utf-16-be",
}


@dataclass(frozen=True, slots=True)
class ItemRow:
    """One item of a file, and which of its fields the file names; the others have their defaults."""

    item: Item
    named: frozenset[str]


def read_items(path: Path) -> Iterator[Item]:
    """The items in file order. Only `item_id` has to be there; what the schema does not know is left out.

    Raises ItemFileError naming the row, counted from 1, and the field.
    """
    return (row.item for row in read_rows(path))


def read_rows(path: Path) -> Iterator[ItemRow]:
    """As `read_items`, with what the file says of each item. Parquet without rows is a catalogue without items."""
    with _reading(path), path.open("rb") as file:
        head = file.read(_HEAD)
        file.seek(0)
        if head.startswith(_PARQUET):
            from feature_repo.catalogue.parquet import parquet_rows

            yield from _items(path, parquet_rows(path, file))
        elif head.startswith(_GZIP):
            with gzip.open(file) as unpacked:
                head = unpacked.read(_HEAD)
                unpacked.seek(0)
                yield from _items(path, _json_rows(path, unpacked, head))
        else:
            yield from _items(path, _json_rows(path, file, head))


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


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    try:
        yield
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise ItemFileError(f"{path} is compressed with gzip and damaged: {error}") from error
    except UnicodeError as error:
        raise ItemFileError(f"{path} holds text that is not what it calls itself: {error}") from error
    except OSError as error:
        raise ItemFileError(f"{path} cannot be read: {' '.join((error.strerror or str(error)).split())}") from error


def _items(path: Path, rows: Iterable[tuple[int, Any]]) -> Iterator[ItemRow]:
    for row, fields in rows:
        if not isinstance(fields, dict):
            raise ItemFileError(f"{path} row {row}: expected a JSON object, found {ascii(fields)[:40]}")
        if "item_id" not in fields:
            raise ItemFileError(f"{path} row {row}: expected an item_id, found only {_names(fields)}")
        try:
            item = item_of(fields)
        except FieldError as error:
            raise ItemFileError(f"{path} row {row}: {error}") from error
        yield ItemRow(item, FIELDS & fields.keys())


def _json_rows(path: Path, file: IO[bytes] | gzip.GzipFile, head: bytes) -> Iterator[tuple[int, Any]]:
    encoding = next((name for mark, name in _ENCODINGS.items() if head.startswith(mark)), "utf-8")
    _check_format(path, head, encoding)
    is_empty = True
    for row, line in enumerate(_lines(file, encoding), start=1):
        text = line.removeprefix(codecs.BOM_UTF8) if isinstance(line, bytes) and row == 1 else line
        if not text or text.isspace():
            continue
        is_empty = False
        try:
            fields = orjson.loads(text)
        except ValueError as error:
            found = ascii(text.decode(errors="replace") if isinstance(text, bytes) else text)[:60]
            raise ItemFileError(
                f"{path} row {row}: expected a JSON object on a line, in UTF-8, found {found}"
            ) from error
        yield row, fields
    if is_empty:
        raise ItemFileError(f"{path} is empty: expected Parquet, or a JSON object of an item a line")


def _lines(file: IO[bytes] | gzip.GzipFile, encoding: str) -> Iterator[bytes | str]:
    if encoding == "utf-8":  # as bytes, so that what is not UTF-8 is found on its own line
        yield from file
    else:
        with TextIOWrapper(file, encoding, newline="\n") as text:
            yield from text


def _check_format(path: Path, head: bytes, encoding: str) -> None:
    """Name what is neither Parquet nor JSON lines, as far as its beginning tells."""
    expected = "expected Parquet, or a JSON object of an item a line"
    for mark, name in _OTHER_FORMATS.items():
        if head.startswith(mark):
            raise ItemFileError(f"{path} is {name}: {expected}")
    if head.startswith(_PARQUET):
        raise ItemFileError(f"{path} is Parquet inside gzip, which Parquet itself does better: {expected}")
    begin = head.decode(encoding, errors="replace").lstrip("\ufeff \t\r\n")
    first_line = begin.split("\n", 1)[0].strip()
    if begin.startswith("["):
        raise ItemFileError(f"{path} is one JSON array: {expected}, as `jq -c '.[]'` makes of it")
    if first_line == "{":
        raise ItemFileError(f"{path} is JSON over several lines: {expected}, as `jq -c .` makes of it")
    if begin and not begin.startswith("{") and any(mark in first_line for mark in ",;\t"):
        raise ItemFileError(f"{path} looks like CSV, its first line is {ascii(first_line)[:60]}: {expected}")


def _names(fields: Mapping[str, Any]) -> str:
    return ", ".join(ascii(name)[1:-1][:40] for name in list(fields)[:20]) or "an empty object"
