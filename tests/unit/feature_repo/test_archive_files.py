"""Archive files: one for each date, whole or not there, every row read once however files overlap."""

import shutil
from importlib.util import find_spec
from pathlib import Path

import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest

import feature_repo.archive.folder
import feature_repo.archive.reader
import streaming.archive.files
from feature_repo.archive.columns import EVENT_ARCHIVE_SCHEMA, ITEM_SCHEMA, events_to_table, items_to_table
from feature_repo.archive.folder import ArchiveFolder, open_archive
from feature_repo.archive.names import OffsetRange
from feature_repo.archive.reader import in_offset_order, read_archive
from feature_repo.errors import ArchiveError, ArchiveFileGoneError
from feature_repo.schema import Event, EventType, Item
from feature_repo.settings import SharedSettings, archive_location
from streaming.archive.files import unfinished_ends, write_events
from tests.support.crashes import crash_points

MIDNIGHT_MS = 1_700_006_400_000  # 2023-11-15T00:00:00Z
OLD_COLUMNS = [name for name in EVENT_ARCHIVE_SCHEMA.names if not name.startswith("kafka_")]


def _event(number: int, timestamp_ms: int = MIDNIGHT_MS) -> Event:
    return Event(f"e{number}", EventType.VIEW, "s", "i", timestamp_ms, None, {"n": number})


def _events(first: int, end: int) -> list[tuple[int, Event]]:
    """One an offset, on two dates in turn."""
    return [(n, _event(n, MIDNIGHT_MS - n % 2)) for n in range(first, end)]


def _write(archive: ArchiveFolder, first: int, end: int, partition: int = 0, topic: str = "t") -> list[str]:
    return write_events(archive, _events(first, end), OffsetRange(topic, partition, first, end))


def _ids(archive: ArchiveFolder) -> list[str]:
    return sorted(read_archive(archive, ["event_id"])["event_id"].to_pylist(), key=lambda name: int(name[1:]))


def _plain_ids(path: Path) -> list[str]:
    """As somebody reads them who knows nothing of our names: Feast."""
    return sorted(ds.dataset(path, partitioning="hive").to_table()["event_id"].to_pylist(), key=lambda n: int(n[1:]))


def _expected(end: int) -> list[str]:
    return [f"e{n}" for n in range(end)]


@pytest.fixture(params=["disk", "memory"])
def archive(request: pytest.FixtureRequest, tmp_path: Path) -> ArchiveFolder:
    if request.param == "disk":
        return open_archive(tmp_path / "archive")
    return open_archive(f"memory://bucket-{tmp_path.name}-{request.node.name}/prefix")


def test_events_are_parted_by_their_own_date_in_utc(archive: ArchiveFolder) -> None:
    paths = _write(archive, 0, 5)
    name = "t-00000-00000000000000000000-00000000000000000005.parquet"
    assert paths == [f"event_date=2023-11-14/{name}", f"event_date=2023-11-15/{name}"]
    assert archive.list().paths == paths
    assert _ids(archive) == _expected(5)


def test_columns_are_those_of_the_schema(tmp_path: Path) -> None:
    event = _event(1, MIDNIGHT_MS + 123)
    (path,) = write_events(open_archive(tmp_path), [(5, event)], OffsetRange("t", 3, 5, 6))
    table = pq.ParquetFile(tmp_path / path).read()
    assert table.schema.equals(EVENT_ARCHIVE_SCHEMA)
    (row,) = table.to_pylist()
    assert row["attributes"] == '{"n": 1}'
    assert row["event_timestamp"].timestamp() * 1000 == row["timestamp_ms"] == MIDNIGHT_MS + 123
    assert (row["kafka_partition"], row["kafka_offset"]) == (3, 5)


def test_an_archive_that_does_not_exist_is_empty(archive: ArchiveFolder) -> None:
    assert archive.list().paths == []
    assert read_archive(archive, ["event_id", "timestamp_ms"]).num_rows == 0
    with pytest.raises(ArchiveFileGoneError):
        archive.open("event_date=2023-11-14/none.parquet")
    archive.remove("event_date=2023-11-14/none.parquet")


def test_rows_in_files_that_overlap_are_read_once(archive: ArchiveFolder) -> None:
    for first, end in ((0, 10), (10, 60), (60, 70), (10, 30), (30, 65)):
        _write(archive, first, end)
    _write(archive, 0, 10, partition=1)
    _write(archive, 0, 10, topic="older")
    assert _ids(archive) == sorted([*_expected(70), *_expected(10), *_expected(10)], key=lambda name: int(name[1:]))
    files = [file for file in archive.list().files if file.offsets.source == ("t", 0)]
    tables = list(in_offset_order(archive, files, ["event_id"]))
    assert [offset for table in tables for offset in table["kafka_offset"].to_pylist()] == list(range(70))


def test_offset_order_over_more_rows_than_are_held_at_once(
    archive: ArchiveFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feature_repo.archive.reader, "_BATCH_ROWS", 7)
    for first, end in ((0, 100), (50, 120), (100, 300), (299, 310)):
        _write(archive, first, end)
    tables = list(in_offset_order(archive, archive.list().files, ["event_id"]))
    assert max(table.num_rows for table in tables) <= 4 * 2 * 7
    assert [name for table in tables for name in table["event_id"].to_pylist()] == _expected(310)


def test_files_of_the_first_release_are_read_and_ordered(tmp_path: Path) -> None:
    archive = open_archive(tmp_path)
    _write(archive, 0, 10)
    for path in tmp_path.rglob("*.parquet"):
        pq.write_table(pq.ParquetFile(path).read().select(OLD_COLUMNS), path)
    _write(archive, 10, 20)
    assert _ids(archive) == _expected(20)
    rows = [row for table in in_offset_order(archive, archive.list().files) for row in table.to_pylist()]
    assert {row["event_id"] for row in rows[:10]} == set(_expected(10))
    assert [row["event_id"] for row in rows[10:]] == _expected(20)[10:]
    assert all(row["kafka_offset"] < 10 for row in rows[:10])


def test_files_with_other_names_are_read_too(archive: ArchiveFolder) -> None:
    table = events_to_table([_event(1)])
    archive.put("event_date=2023-11-15/by-hand.parquet", lambda file: pq.write_table(table, file))
    archive.put("event_date=2023-11-15/.hidden.parquet", lambda file: pq.write_table(table, file))
    archive.put("elsewhere/by-hand.parquet", lambda file: pq.write_table(table, file))
    assert archive.list().foreign == ["event_date=2023-11-15/by-hand.parquet"]
    assert _ids(archive) == ["e1"]


def test_a_write_again_up_to_the_same_ends_repeats_nothing_for_anyone(tmp_path: Path) -> None:
    archive = open_archive(tmp_path)
    _write(archive, 0, 10)
    _write(archive, 10, 25)
    _write(archive, 25, 40)  # killed here, before the commits of 25 and 40
    _write(archive, 10, 40, partition=1)
    ends = unfinished_ends(archive, "t", 0, position=10)
    assert ends == [25, 40]
    for first, end in zip([10, 25], ends, strict=True):
        _write(archive, first, end)
    assert _plain_ids(tmp_path) == sorted([*_expected(40), *_expected(40)[10:]], key=lambda name: int(name[1:]))


def test_what_a_killed_writer_left_half_written_goes(tmp_path: Path) -> None:
    archive = open_archive(tmp_path)
    path = tmp_path / _write(archive, 0, 1)[0]
    half = path.with_name(f".{path.name}.0123abcd.tmp")
    half.write_bytes(b"PAR1")
    other = path.with_name(f".{path.name}.0123abcd.tmp".replace("-00000-", "-00001-"))
    other.write_bytes(b"PAR1")
    unfinished_ends(archive, "t", 0, position=1)
    assert path.exists()
    assert not half.exists()
    assert other.exists()
    assert archive.remove_temporaries() == 1


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # of files that a crash left open
def test_a_crash_at_any_line_of_a_write_neither_loses_nor_repeats_a_row(tmp_path: Path) -> None:
    """Whoever comes next writes from the last commit on; its files are read at once and after each step."""
    archive = open_archive(tmp_path)
    _write(archive, 0, 10)
    modules = [feature_repo.archive.folder, streaming.archive.files]
    crashes = 0
    for _ in crash_points(lambda: _write(archive, 10, 30), modules):
        left = set(_plain_ids(tmp_path))
        assert left >= set(_expected(10))
        assert len(_plain_ids(tmp_path)) == len(left)
        ends = unfinished_ends(archive, "t", 0, position=10)
        assert ends in ([], [30])
        _write(archive, 10, ends[0] if ends else 22)
        _write(archive, ends[0] if ends else 22, 40)
        assert _plain_ids(tmp_path) == _ids(archive) == _expected(40)
        assert not list(tmp_path.rglob("*.tmp"))
        shutil.rmtree(tmp_path)
        _write(archive, 0, 10)
        crashes += 1
    assert crashes > 30


def test_a_failing_store_is_one_error(tmp_path: Path) -> None:
    (tmp_path / "archive").write_text("a file, not a folder")
    with pytest.raises(ArchiveError, match=r"archive .*Error"):
        _write(open_archive(tmp_path / "archive"), 0, 1)


@pytest.mark.parametrize(
    ("location", "hint"), [("s3://bucket/x", r"pip install 'nextclick\[s3\]'"), ("nosuch://x", "nothing is known of")]
)
def test_what_fsspec_cannot_open_is_told_in_one_line(location: str, hint: str) -> None:
    if location.startswith("s3") and find_spec("s3fs"):
        pytest.skip("s3fs is installed here")
    with pytest.raises(ArchiveError, match=hint):
        open_archive(location)


def test_locations(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert archive_location(f"file://{tmp_path}/a%20b") == tmp_path / "a b"
    assert archive_location("s3://bucket/prefix/") == "s3://bucket/prefix"
    monkeypatch.chdir(tmp_path)
    assert archive_location("here") == tmp_path / "here"
    monkeypatch.setenv("ARCHIVE_PATH", "gs://bucket/events")
    assert SharedSettings().archive_path == "gs://bucket/events"
    monkeypatch.setenv("ARCHIVE_PATH", "s3://user:secret@bucket/events")
    with pytest.raises(ValueError, match="no password") as error:
        SharedSettings()
    assert error.value.errors(include_input=False, include_context=False)[0]["loc"] == ("archive_path",)


def test_only_one_process_rewrites_files(tmp_path: Path) -> None:
    with (
        open_archive(tmp_path).exclusively(),
        pytest.raises(ArchiveError, match="another compaction"),
        open_archive(tmp_path).exclusively(),
    ):
        pass
    with open_archive(tmp_path).exclusively():
        pass


def test_items_keep_their_fields() -> None:
    items = [Item("i", "title", "category", "brand", 9.5, False, ("a", "b")), Item("j")]
    table = items_to_table(items)
    assert table.schema.equals(ITEM_SCHEMA)
    assert [Item(**{**row, "tags": tuple(row["tags"])}) for row in table.to_pylist()] == items
