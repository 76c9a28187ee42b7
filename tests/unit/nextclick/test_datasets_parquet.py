"""Parquet formats: what small files become, and that each malformed one gives its one line."""

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from feature_repo.schema import EventType, Item
from nextclick.datasets import load
from tests.support.dataset_files import error_of


def trivago_row(**changes: object) -> dict[str, object]:
    row = {"user_id": "U", "session_id": "S", "timestamp": 1541599523, "step": 1, "reference": "10"}
    row |= {"action_type": "interaction item image", "platform": "FR", "city": "Marseille, France", "device": "tablet"}
    return row | {"current_filters": None, "impressions": None, "prices": None} | changes


def globo_row(**changes: object) -> dict[str, object]:
    row = {"user_id": 59, "session_id": 1506826329267796, "session_start": 1506826329000, "session_size": 2}
    row |= {
        "click_article_id": 234853,
        "click_timestamp": 1506826800026,
        "click_environment": 4,
        "click_deviceGroup": 3,
    }
    return row | {"click_os": 2, "click_country": 1, "click_region": 21, "click_referrer_type": 1} | changes


def write(folder: Path, rows: list[dict[str, Any]], columns: dict[str, Any] | None = None) -> Path:
    file = folder / "log.parquet"
    table = pa.Table.from_pylist(rows)
    for name, values in (columns or {}).items():
        table = table.set_column(table.schema.get_field_index(name), name, pa.array(values))
    pq.write_table(table, file)
    return file


# --- trivago ------------------------------------------------------------------------------------------------------


def test_only_actions_on_items_become_events(tmp_path: Path) -> None:
    rows = [
        trivago_row(action_type="search for destination", reference="Paisley, United Kingdom"),
        trivago_row(step=2, timestamp=1541599530, reference="11"),
        trivago_row(step=3, action_type="interaction item info", reference="unknown"),
        trivago_row(step=4, action_type="clickout item", impressions="10|12", prices="71|107"),
    ]
    dataset = load("trivago", write(tmp_path, rows))
    events = list(dataset.events)
    assert [(event.item_id, event.event_type) for event in events] == [
        ("10", EventType.ADD_TO_CART),
        ("11", EventType.VIEW),
    ]
    assert dataset.left_out == 2
    assert events[0].attributes["impressions"] == "10|12"
    assert events[0].attributes["action_type"] == "clickout item"
    assert "impressions" not in events[1].attributes


def test_items_have_the_price_last_shown(tmp_path: Path) -> None:
    slates = [("10|12", "71|107"), ("12|13", "99|5")]
    rows = [
        trivago_row(action_type="clickout item", timestamp=second, impressions=slate, prices=prices)
        for second, (slate, prices) in enumerate(slates, start=1)
    ]
    items = list(load("trivago", write(tmp_path, [*rows, trivago_row(reference="14")])).items)
    assert items == [Item("10", price=71.0), Item("12", price=99.0), Item("13", price=5.0), Item("14")]


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"action_type": "teleport"}, "an action_type of "),
        ({"reference": "Hotel"}, "an item number or 'unknown' as reference"),
        ({"reference": None}, "a value in column reference"),
        ({"timestamp": -1}, "a time in seconds since 1970"),
        ({"session_id": ""}, "a session_id of 1 to 256"),
        ({"impressions": "1|2", "prices": "3"}, "impressions and prices"),
        ({"impressions": "1|2", "prices": None}, "impressions and prices"),
        ({"impressions": "1|x", "prices": "3|4"}, "impressions and prices"),
    ],
)
def test_a_malformed_action_is_named(tmp_path: Path, changes: dict[str, object], expected: str) -> None:
    file = write(tmp_path, [trivago_row(), trivago_row(**changes)])
    message = error_of("trivago", tmp_path)
    assert message.startswith(f"{file}:2: expected ")
    assert expected in message


# --- globo --------------------------------------------------------------------------------------------------------


def test_clicks_keep_their_order_and_context(tmp_path: Path) -> None:
    rows = [globo_row(), globo_row(click_article_id=5), globo_row(click_timestamp=1506826800027, session_id=7)]
    dataset = load("globo", write(tmp_path, rows))
    events = list(dataset.events)
    assert [event.item_id for event in events] == ["234853", "5", "234853"]
    assert [event.event_id for event in events] == ["globo-000000000", "globo-000000001", "globo-000000002"]
    assert (events[2].session_id, events[2].user_id, events[2].timestamp_ms) == ("7", "59", 1506826800027)
    assert events[0].attributes == {
        "environment": 4,
        "device_group": 3,
        "os": 2,
        "country": 1,
        "region": 21,
        "referrer_type": 1,
    }
    assert (dataset.session_count, dataset.item_count, dataset.repeats) == (2, 2, False)
    assert dataset.events.newest_at_ms == 1506826800027


def test_limit_keeps_the_first_clicks(tmp_path: Path) -> None:
    dataset = load("globo", write(tmp_path, [globo_row(), globo_row(click_article_id=5)]), limit=1)
    assert [event.item_id for event in dataset.events] == ["234853"]
    assert dataset.items == [Item("234853")]


def test_clicks_out_of_order_are_named(tmp_path: Path) -> None:
    file = write(tmp_path, [globo_row(), globo_row(), globo_row(click_timestamp=1506826800025)])
    assert error_of("globo", file) == (
        f"{file}:3: expected click_timestamp not below the row before, found 1506826800025"
    )


@pytest.mark.parametrize("time", [-5, 1506826800026000])
def test_times_of_another_unit_are_named(tmp_path: Path, time: int) -> None:
    file = write(tmp_path, [globo_row(click_timestamp=time)])
    assert error_of("globo", file).startswith(f"{file}:1: expected a time in milliseconds since 1970")


def test_a_click_without_a_value_is_named(tmp_path: Path) -> None:
    file = write(tmp_path, [globo_row(), globo_row(click_os=None)])
    assert error_of("globo", file) == f"{file}:2: expected a value in column click_os, found None"


def test_a_column_of_another_type_is_named(tmp_path: Path) -> None:
    file = write(tmp_path, [globo_row(click_article_id="sport")])
    assert "expected the column click_article_id to hold whole numbers, found string" in error_of("globo", file)


# --- both ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "column"), [("trivago", "reference"), ("globo", "click_os")])
def test_a_lacking_column_is_named(tmp_path: Path, name: str, column: str) -> None:
    row = trivago_row() if name == "trivago" else globo_row()
    file = write(tmp_path, [{key: value for key, value in row.items() if key != column}])
    assert error_of(name, file).startswith(f"{file}: expected a column {column} of ")


@pytest.mark.parametrize("name", ["trivago", "globo"])
def test_a_file_that_is_no_parquet_is_named(tmp_path: Path, name: str) -> None:
    file = tmp_path / "log.parquet"
    file.write_text("clicks")
    assert error_of(name, file).startswith(f"{file}: expected a sound Parquet file, found ")


def test_a_file_cut_short_is_named(tmp_path: Path) -> None:
    file = write(tmp_path, [globo_row()])
    file.write_bytes(file.read_bytes()[:-20])
    assert error_of("globo", file).startswith(f"{file}: expected a sound Parquet file, found ")


def test_text_that_is_not_utf_8_is_named(tmp_path: Path) -> None:
    file = write(tmp_path, [trivago_row(city="Marseille")])
    file.write_bytes(file.read_bytes().replace(b"Marseille", b"Marse\xffill"))
    assert error_of("trivago", file).startswith(f"{file}: expected a sound Parquet file, found ")


def test_a_file_without_rows_is_named(tmp_path: Path) -> None:
    file = tmp_path / "log.parquet"
    pq.write_table(pa.Table.from_pylist([globo_row()]).slice(0, 0), file)
    assert error_of("globo", file) == f"{file}: expected at least one event, found none"
