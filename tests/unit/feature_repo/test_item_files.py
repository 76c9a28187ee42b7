"""Catalogues as Parquet and as JSON lines; what is neither, or says too little, is named in one line."""

import decimal
import gzip
import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from feature_repo.archive.columns import ITEM_SCHEMA, items_to_table
from feature_repo.catalogue.changes import changed_items, check_file
from feature_repo.catalogue.files import read_items, write_items
from feature_repo.errors import ItemFileError
from feature_repo.schema import Item

ITEMS = [
    Item("a", "Title", "shoes", "B", 9.5, False, ("new", "red")),
    Item("b"),
]
LINES = (
    '{"item_id": "a", "title": "Title", "category": "shoes", "brand": "B", "price": 9.5, "available": false,'
    ' "tags": ["new", "red"], "colour": "red"}\n\n{"item_id": "b"}\n'
)


def error_of(path: Path) -> str:
    with pytest.raises(ItemFileError) as caught:
        list(read_items(path))
    message = str(caught.value)
    assert message.startswith(str(path))
    assert message.isascii()
    assert "\n" not in message
    return message.removeprefix(str(path)).strip()


def write_columns(path: Path, **columns: pa.Array | list[Any]) -> Path:
    pq.write_table(pa.table(columns), path)
    return path


def test_a_file_that_was_written_is_read_back_and_is_what_training_reads(tmp_path: Path) -> None:
    path = tmp_path / "sub" / "items.parquet"
    write_items(path, ITEMS[:1])
    write_items(path, ITEMS)
    assert list(read_items(path)) == ITEMS
    assert pq.read_table(path, schema=ITEM_SCHEMA) == items_to_table(ITEMS)
    assert [file.name for file in path.parent.iterdir()] == ["items.parquet"]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32"])
@pytest.mark.parametrize("packed", [False, True])
def test_json_lines_are_read_whatever_their_name_encoding_and_else_they_hold(
    tmp_path: Path, encoding: str, packed: bool
) -> None:
    path = tmp_path / "items.parquet"
    content = LINES.replace("\n", "\r\n").encode(encoding)
    path.write_bytes(gzip.compress(content) if packed else content)
    assert list(read_items(path)) == ITEMS


def test_a_table_of_pandas_will_do(tmp_path: Path) -> None:
    pd.DataFrame({"item_id": ["a", "b"], "price": [1.0, float("nan")], "x": [1, 2]}).to_parquet(tmp_path / "items.csv")
    assert list(read_items(tmp_path / "items.csv")) == [Item("a", price=1.0), Item("b")]


def test_a_catalogue_without_items_is_one(tmp_path: Path) -> None:
    write_items(tmp_path / "items", [])
    assert list(read_items(tmp_path / "items")) == []


WHOLE = [pa.int8(), pa.int16(), pa.int32(), pa.int64(), pa.uint8(), pa.uint16(), pa.uint32(), pa.uint64()]
DECIMALS = [pa.decimal32(5, 2), pa.decimal64(9, 2), pa.decimal128(10, 2), pa.decimal256(40, 2)]


@pytest.mark.parametrize("kind", [*WHOLE, pa.float16(), pa.float32(), pa.float64(), *DECIMALS], ids=str)
def test_a_price_may_be_of_every_numeric_type(tmp_path: Path, kind: pa.DataType) -> None:
    price: Any = 9 if kind in WHOLE else np.float16(9) if kind == pa.float16() else 9.25
    price = decimal.Decimal("9.25") if kind in DECIMALS else price
    path = write_columns(tmp_path / "items", item_id=["a", "b"], price=pa.array([price, None], kind))
    assert list(read_items(path)) == [Item("a", price=float(price)), Item("b")]


@pytest.mark.parametrize("kind", [pa.large_string(), pa.string_view(), pa.dictionary(pa.int8(), pa.string())], ids=str)
def test_text_may_be_of_every_text_type(tmp_path: Path, kind: pa.DataType) -> None:
    path = write_columns(
        tmp_path / "items", item_id=pa.array(["a"], kind), category=pa.array(["c"], kind), brand=[None]
    )
    assert list(read_items(path)) == [Item("a", category="c")]


@pytest.mark.parametrize(
    ("columns", "problem"),
    [
        ({"sku": ["a"], "title": ["T"]}, "expected a column item_id, found only sku, title"),
        ({"item_id": [7]}, "expected the column item_id to hold text (string), found int64"),
        ({"item_id": ["a"], "price": ["9.90"]}, "expected the column price to hold numbers, found string"),
        ({"item_id": ["a"], "available": [1]}, "the column available to hold true and false (bool), found int64"),
        ({"item_id": ["a"], "tags": ["x"]}, "expected the column tags to hold lists of text, found string"),
        ({"item_id": ["a", "b", None]}, "row 3: item_id: expected a string of 1 to 256"),
        ({"item_id": ["a"], "price": [-1]}, "row 1: price: expected a number from 0 to 9007199254740992, found -1.0"),
        ({"item_id": ["a", "a\0"]}, r"row 2: item_id: expected a string of 1 to 256 characters without control"),
        ({"item_id": ["a"], "category": ["shoes\0"]}, r"row 1: category: expected a string"),
        ({"item_id": pa.array([b"\xff"]).cast(pa.string(), safe=False)}, "is no Parquet file that can be read: "),
    ],
)
def test_parquet_that_is_no_catalogue_is_named(tmp_path: Path, columns: dict[str, Any], problem: str) -> None:
    assert problem in error_of(write_columns(tmp_path / "items.parquet", **columns))


def test_a_bad_row_far_down_is_counted_from_the_first(tmp_path: Path) -> None:
    path = write_columns(tmp_path / "items", item_id=[*map(str, range(20_000)), ""])
    assert error_of(path).startswith("row 20001: item_id: ")


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ('{"item_id": "a"}\n\n{"item_id": "b", "price": -1}\n', "row 3: price: expected a number from 0"),
        (
            '{"item_id": "a", "price": "9.90"}',
            "row 1: price: expected a number from 0 to 9007199254740992, found '9.90' (",
        ),
        ('{"item_id": "a"}\n{"sku": "b", "title": "T"}', "row 2: expected an item_id, found only sku, title"),
        ('{"item_id": "a\\u0000"}', "row 1: item_id: expected a string of 1 to 256 characters without control"),
        ('{"item_id": "a", "brand": "b\\u009b"}', "row 1: brand: expected a string of 1 to 256"),
        ('{"item_id": "a"}\nitem b', "row 2: expected a JSON object on a line"),
        ('{"item_id": "a"}\n[1]', "row 2: expected a JSON object, found [1]"),
        (b'{"item_id": "a"}\n{"item_id": "\xe9"}', "row 2: expected a JSON object on a line, in UTF-8"),
        ('[{"item_id": "a"}]', "is one JSON array: "),
        ('{\n  "item_id": "a"\n}', "is JSON over several lines: "),
        ("item_id,title\na,T\n", "looks like CSV, its first line is 'item_id,title': "),
        ("item_id\ttitle\na\tT\n", "looks like CSV, its first line is 'item_id\\ttitle': "),
        ("item_id\na\n", "row 1: expected a JSON object on a line"),
        ("", "is empty: "),
        (" \n\n", "is empty: "),
        (b"\xef\xbb\xbf\n", "is empty: "),
        (gzip.compress(b"", mtime=0), "is empty: "),
        (gzip.compress(b'{"item_id": "a"}', mtime=0)[:-9], "is compressed with gzip and damaged: "),
        (gzip.compress(b"PAR1", mtime=0), "is Parquet inside gzip"),
        (gzip.compress(gzip.compress(b"{}", mtime=0), mtime=0), "is compressed with gzip twice: "),
        ('{"item_id": "a"}'.encode("utf-16")[:-1], "holds text that is not what it calls itself: "),
        (b"\x28\xb5\x2f\xfd....", "is compressed with zstd: "),
        (b"PK\x03\x04....", "is a zip file (Excel's are such): "),
        (b"PAR1 and no more", "is no Parquet file that can be read: "),
    ],
)
def test_what_is_no_catalogue_is_named(tmp_path: Path, content: str | bytes, problem: str) -> None:
    path = tmp_path / "items.jsonl"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    assert error_of(path).startswith(problem)


def test_what_cannot_be_read_is_named(tmp_path: Path) -> None:
    assert error_of(tmp_path / "nothing") == "cannot be read: No such file or directory"
    assert error_of(tmp_path) == "cannot be read: Is a directory"


def test_parquet_that_is_damaged_in_the_middle_is_named(tmp_path: Path) -> None:
    path = write_columns(tmp_path / "items", item_id=[f"item-{n}" for n in range(5000)])
    content = bytearray(path.read_bytes())
    content[10:2000] = b"\xff" * 1990
    path.write_bytes(content)
    assert error_of(path)


# --- what a file changes ------------------------------------------------------------------------------------------


def changes(path: Path, known: dict[str, Item], *rows: dict[str, Any]) -> list[Item]:
    path.write_text("\n".join(map(json.dumps, rows)))
    return [item for _, item in changed_items(path, known)]


def test_a_row_changes_the_fields_that_it_names_and_no_others(tmp_path: Path) -> None:
    known = {"a": ITEMS[0]}
    rows = [{"item_id": "a", "available": True}, {"item_id": "a", "price": None, "brand": None}, {"item_id": "c"}]
    assert changes(tmp_path / "items", known, *rows) == [
        Item("a", "Title", "shoes", "B", 9.5, True, ("new", "red")),
        Item("a", "Title", "shoes", "", None, True, ("new", "red")),
        Item("c"),
    ]
    assert check_file(tmp_path / "items") == (3, {"a", "c"})


def test_a_row_that_names_every_field_needs_nothing_known(tmp_path: Path) -> None:
    write_items(tmp_path / "items", ITEMS)
    assert check_file(tmp_path / "items") == (2, set())
    assert [item for _, item in changed_items(tmp_path / "items", {})] == ITEMS


def test_a_whole_row_is_what_a_later_one_changes(tmp_path: Path) -> None:
    whole = {"item_id": "a", "title": "New", "category": "", "brand": "", "price": 1, "available": True, "tags": []}
    found = changes(tmp_path / "items", {"a": ITEMS[0]}, whole, {"item_id": "a", "available": False})
    assert found == [Item("a", "New", price=1.0), Item("a", "New", price=1.0, available=False)]


def test_columns_that_parquet_lacks_stay_as_they_are(tmp_path: Path) -> None:
    path = write_columns(tmp_path / "items", item_id=["a"], price=pa.array([None], pa.float64()))
    assert [item for _, item in changed_items(path, {"a": ITEMS[0]})] == [
        Item("a", "Title", "shoes", "B", None, False, ("new", "red"))
    ]
