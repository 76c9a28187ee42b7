"""Archive files: one for each date, whole or not there, and what was not committed makes room for its second coming."""

from pathlib import Path

import pyarrow.dataset as ds
import pyarrow.parquet as pq

from feature_repo.archive_schema import EVENT_ARCHIVE_SCHEMA, ITEM_SCHEMA, items_to_table
from feature_repo.schema import Event, EventType, Item
from streaming.archive_files import OffsetRange, remove_uncommitted, write_events

MIDNIGHT_MS = 1_700_006_400_000  # 2023-11-15T00:00:00Z


def _event(number: int, timestamp_ms: int = MIDNIGHT_MS) -> Event:
    return Event(f"e{number}", EventType.VIEW, "s", "i", timestamp_ms, None, {"n": number})


def _ids(archive: Path) -> list[str]:
    return sorted(ds.dataset(archive, partitioning="hive").to_table()["event_id"].to_pylist())


def test_events_are_parted_by_their_own_date_in_utc(tmp_path: Path) -> None:
    paths = write_events(tmp_path, [_event(1, MIDNIGHT_MS - 1), _event(2)], OffsetRange("t", 0, 5, 7))
    assert {path.parent.name for path in paths} == {"event_date=2023-11-14", "event_date=2023-11-15"}
    assert _ids(tmp_path) == ["e1", "e2"]
    assert [path for path in tmp_path.rglob("*") if path.is_file()] != []
    assert not list(tmp_path.rglob("*.tmp"))


def test_columns_are_those_of_the_schema(tmp_path: Path) -> None:
    (path,) = write_events(tmp_path, [_event(1, MIDNIGHT_MS + 123)], OffsetRange("t", 0, 5, 6))
    table = pq.ParquetFile(path).read()
    assert table.schema.equals(EVENT_ARCHIVE_SCHEMA)
    (row,) = table.to_pylist()
    assert row["attributes"] == '{"n": 1}'
    assert row["event_timestamp"].timestamp() * 1000 == row["timestamp_ms"] == MIDNIGHT_MS + 123


def test_an_uncommitted_write_is_replaced_even_if_its_second_coming_is_cut_elsewhere(tmp_path: Path) -> None:
    write_events(tmp_path, [_event(0)], OffsetRange("t", 0, 0, 1))
    days = [_event(1), _event(2, MIDNIGHT_MS - 1), _event(3, MIDNIGHT_MS - 1)]
    write_events(tmp_path, days, OffsetRange("t", 0, 1, 4))  # killed here, before the commit
    remove_uncommitted(tmp_path, "t", 0, position=1)
    write_events(tmp_path, days[:1], OffsetRange("t", 0, 1, 2))
    write_events(tmp_path, days[1:], OffsetRange("t", 0, 2, 4))
    assert _ids(tmp_path) == ["e0", "e1", "e2", "e3"]


def test_other_partitions_and_other_topics_are_left_alone(tmp_path: Path) -> None:
    write_events(tmp_path, [_event(1)], OffsetRange("t", 1, 9, 10))
    write_events(tmp_path, [_event(2)], OffsetRange("older", 0, 9, 10))
    write_events(tmp_path, [_event(3)], OffsetRange("t", 0, 9, 10))
    remove_uncommitted(tmp_path, "t", 0, position=0)
    assert _ids(tmp_path) == ["e1", "e2"]


def test_what_a_killed_writer_left_half_written_goes(tmp_path: Path) -> None:
    (path,) = write_events(tmp_path, [_event(1)], OffsetRange("t", 0, 0, 1))
    half = path.with_name(f".{path.name}.tmp")
    half.write_bytes(b"PAR1")
    remove_uncommitted(tmp_path, "t", 0, position=1)
    assert not half.exists()
    assert path.exists()


def test_items_keep_their_fields() -> None:
    items = [Item("i", "title", "category", "brand", 9.5, False, ("a", "b")), Item("j")]
    table = items_to_table(items)
    assert table.schema.equals(ITEM_SCHEMA)
    assert [Item(**{**row, "tags": tuple(row["tags"])}) for row in table.to_pylist()] == items
