"""Catalogues as Parquet and as JSON lines, and the row and field that an error names."""

from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq
import pytest

from feature_repo.archive.columns import ITEM_SCHEMA, items_to_table
from feature_repo.schema import Item
from nextclick.item_files import ItemFileError, count_items, read_items, write_items

ITEMS = [
    Item("a", "Title", "shoes", "B", 9.5, False, ("new", "red")),
    Item("b"),
]


def test_a_file_that_was_written_is_read_back_and_is_what_training_reads(tmp_path: Path) -> None:
    path = tmp_path / "sub" / "items.parquet"
    write_items(path, ITEMS[:1])
    write_items(path, ITEMS)
    assert list(read_items(path)) == ITEMS
    assert pq.read_table(path, schema=ITEM_SCHEMA) == items_to_table(ITEMS)
    assert [file.name for file in path.parent.iterdir()] == ["items.parquet"]


def test_json_lines_are_read_whatever_else_they_hold(tmp_path: Path) -> None:
    path = tmp_path / "items.jsonl"
    path.write_text(
        '{"item_id": "a", "title": "Title", "category": "shoes", "brand": "B", "price": 9.5, "available": false,'
        ' "tags": ["new", "red"], "colour": "red"}\n\n{"item_id": "b"}\n'
    )
    assert list(read_items(path)) == ITEMS
    assert count_items(path) == 2


def test_a_table_of_pandas_will_do(tmp_path: Path) -> None:
    pd.DataFrame({"item_id": ["a", "b"], "price": [1.0, float("nan")], "x": [1, 2]}).to_parquet(tmp_path / "items")
    assert list(read_items(tmp_path / "items")) == [Item("a", price=1.0), Item("b")]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ('{"item_id": "a"}\n\n{"item_id": "b", "price": -1}\n', "row 3: price: expected a number from 0"),
        ('{"item_id": "a"}\n{"title": "b"}', "row 2: item_id: expected a string"),
        ('{"item_id": "a"}\nitem b', "row 2: expected a JSON object on a line"),
        ('[{"item_id": "a"}]', "row 1: expected a JSON object"),
    ],
)
def test_a_bad_line_is_named(tmp_path: Path, text: str, problem: str) -> None:
    (tmp_path / "items.jsonl").write_text(text)
    with pytest.raises(ItemFileError, match=f"items.jsonl {problem}"):
        count_items(tmp_path / "items.jsonl")


def test_a_bad_row_of_parquet_is_named(tmp_path: Path) -> None:
    pd.DataFrame({"item_id": ["a", "b", None]}).to_parquet(tmp_path / "items")
    with pytest.raises(ItemFileError, match="items row 3: item_id: "):
        count_items(tmp_path / "items")


def test_a_file_that_cannot_be_read_is_one_clear_error(tmp_path: Path) -> None:
    (tmp_path / "half").write_bytes(b"PAR1 and no more")
    with pytest.raises(ItemFileError, match="half is no Parquet file"):
        count_items(tmp_path / "half")
    with pytest.raises(ItemFileError, match="nothing cannot be read: No such file"):
        count_items(tmp_path / "nothing")
