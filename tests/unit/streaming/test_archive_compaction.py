"""Compaction and erasure rewrite the archive's files: whatever the moment of a crash, rows stay and are read once."""

import fcntl
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pyarrow.parquet as pq
import pytest

import feature_repo.archive.folder
from feature_repo.archive.folder import ArchiveFolder, open_archive
from feature_repo.archive.names import ArchiveFile, OffsetRange
from feature_repo.archive.reader import in_offset_order, read_archive
from feature_repo.schema import Event, EventType
from streaming.archive.files import write_events
from streaming.erasures import SESSION, USER, Erasures
from streaming.jobs.compaction import CompactionOptions, Merge, compact, plan
from streaming.jobs.erased_rows import remove_erased, without_erased
from tests.support.crashes import crash_points

MIDNIGHT_MS = 1_700_006_400_000  # 2023-11-15T00:00:00Z
NOW_OLD = CompactionOptions(older_than_seconds=0)
DAYS = ["event_date=2023-11-14", "event_date=2023-11-15"]


class FixedErasures(Erasures):
    """Erasures without Kafka: nobody but those given."""

    def __init__(self, users: set[str], sessions: set[str]) -> None:
        self._names = {(USER, name) for name in users} | {(SESSION, name) for name in sessions}
        self._before_ms = {b"": 0}

    def before_ms(self, kind: str, name: str | None) -> int:
        """Everything up to midnight and 100 ms."""
        return MIDNIGHT_MS + 100 if (kind, name) in self._names else -1


def _write(archive: ArchiveFolder, first: int, end: int, partition: int = 0) -> None:
    """Event n on the 14th or 15th in turn, of user and session n % 5; those of odd users name no user."""
    events = [
        (
            n,
            Event(f"e{n}", EventType.VIEW, f"s{n % 5}", "i", MIDNIGHT_MS - n % 2, None if n % 5 % 2 else f"u{n % 5}"),
        )
        for n in range(first, end)
    ]
    write_events(archive, events, OffsetRange("t", partition, first, end))


def _offsets(archive: ArchiveFolder) -> list[int]:
    return sorted(read_archive(archive, ["kafka_offset"])["kafka_offset"].to_pylist())


def _ranges(archive: ArchiveFolder, day: str) -> list[tuple[int, int]]:
    return [(file.offsets.first, file.offsets.end) for file in archive.list().files if file.path.startswith(day)]


@pytest.fixture(params=["disk", "memory"])
def archive(request: pytest.FixtureRequest, tmp_path: Path) -> ArchiveFolder:
    if request.param == "disk":
        return open_archive(tmp_path / "archive")
    return open_archive(f"memory://bucket-{tmp_path.name}-{request.node.name}/prefix")


def test_small_files_become_one_and_the_newest_stay(archive: ArchiveFolder) -> None:
    for first in range(0, 60, 10):
        _write(archive, first, first + 10)
    _write(archive, 0, 10, partition=1)
    rows_before = sorted(read_archive(archive, ["event_id"])["event_id"].to_pylist())
    dates = compact(archive, NOW_OLD)
    assert [(d.event_date.isoformat(), d.files_before, d.files_after, d.rows) for d in dates] == [
        ("2023-11-14", 7, 3, 25),
        ("2023-11-15", 7, 3, 25),
    ]
    for of_date in dates:
        assert _ranges(archive, f"event_date={of_date.event_date}") == [(0, 50), (50, 60), (0, 10)]
        sizes = [file.size for file in archive.list().files if file.event_date == of_date.event_date]
        assert of_date.bytes_after == sum(sizes) < of_date.bytes_before
    assert sorted(read_archive(archive, ["event_id"])["event_id"].to_pylist()) == rows_before
    merged = [file for file in archive.list().files if file.offsets.end == 50]
    (table,) = in_offset_order(archive, merged[:1])
    assert table["kafka_offset"].to_pylist() == list(range(1, 50, 2))
    assert compact(archive, NOW_OLD) == []


def test_rows_that_a_stalled_writer_repeated_stand_once_afterwards(archive: ArchiveFolder) -> None:
    """It was taken for dead, its successor wrote the same offsets and committed them, then it came back and wrote."""
    for first, end in ((0, 60), (60, 120), (0, 100), (120, 130)):
        _write(archive, first, end)
    assert _offsets(archive) == list(range(130))
    compact(archive, NOW_OLD)
    assert [_ranges(archive, day) for day in DAYS] == [[(0, 120), (120, 130)]] * 2
    assert _offsets(archive) == list(range(130))
    rows = sum(pq.ParquetFile(archive.open(path)).metadata.num_rows for path in archive.list().paths)
    assert rows == 130


def _file(first: int, end: int, size: int, age: float = 1e6) -> ArchiveFile:
    offsets = OffsetRange("t", 0, first, end)
    return ArchiveFile(f"{DAYS[0]}/{offsets.file_name}", size, time.time() - age, offsets)


def _planned(files: list[ArchiveFile], **options: int) -> list[list[int]]:
    dates = plan(files, CompactionOptions(**options), time.time())
    return [[file.offsets.first for file in merge.files] for of_date in dates for merge in of_date.merges]


def test_only_neighbours_of_the_right_age_and_size_are_merged() -> None:
    files = [_file(0, 10, 60), _file(10, 20, 30), _file(20, 30, 30), _file(30, 40, 30), _file(40, 50, 30)]
    last = [_file(50, 60, 1)]
    assert _planned([*files, *last], target_bytes=100) == [[10, 20, 30]]
    assert _planned(files, target_bytes=100) == [[10, 20, 30]]
    assert _planned([*files, *last], target_bytes=1000) == [[0, 10, 20, 30, 40]]
    young = [_file(20, 30, 30, age=10)]
    assert _planned([*files[:2], *young, *files[3:], *last], target_bytes=1000, older_than_seconds=60) == [
        [0, 10],
        [30, 40],
    ]
    assert _planned(last) == []


def test_files_that_overlap_are_merged_whatever_their_size() -> None:
    files = [_file(0, 40, 90), _file(20, 30, 90), _file(40, 50, 90), _file(50, 60, 1)]
    assert _planned(files, target_bytes=100) == [[0, 20]]


def test_a_merged_file_may_take_the_place_of_one_of_its_parts() -> None:
    files = (_file(0, 100, 1), _file(20, 60, 1))
    assert Merge(files).path == files[0].path


def _let_go_of_locks() -> None:
    """What a process locks ends with it; ours lives on, and a crash right before the lock is closed leaves it held.

    Not closed here: its owner may close the number once more, which is another file's by then.
    """
    for link in Path("/proc/self/fd").iterdir():
        with suppress(FileNotFoundError):  # closed by another thread meanwhile
            if link.readlink().name == ".maintenance":
                fcntl.flock(int(link.name), fcntl.LOCK_UN)


def _crashes(archive: ArchiveFolder, root: Path, work: Callable[[], object], start: Path) -> Iterator[int]:
    """Only lines of `archive_folder` change the disk: a crash at any other line leaves what one of those leaves."""
    for number in crash_points(work, [feature_repo.archive.folder]):
        _let_go_of_locks()
        yield number
        shutil.rmtree(root)
        shutil.copytree(start, root)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning", "ignore::ResourceWarning")
def test_a_crash_at_any_line_of_a_compaction_leaves_every_row_readable_once(tmp_path: Path) -> None:
    root, start = tmp_path / "archive", tmp_path / "start"
    archive = open_archive(root)
    for first, end in ((0, 6), (6, 12), (4, 10), (12, 18)):
        _write(archive, first, end)
    shutil.copytree(root, start)
    expected = read_archive(archive, ["event_id", "kafka_offset"]).sort_by("kafka_offset")
    crashes = 0
    for crashes in _crashes(archive, root, lambda: compact(archive, NOW_OLD), start):
        assert read_archive(archive, ["event_id", "kafka_offset"]).sort_by("kafka_offset") == expected
        if crashes % 7 == 0:  # the next run makes it good
            compact(archive, NOW_OLD)
            assert [_ranges(archive, day) for day in DAYS] == [[(0, 12), (12, 18)]] * 2
            assert _offsets(archive) == list(range(18))
    assert crashes > 100


def test_erased_people_leave_with_their_sessions(archive: ArchiveFolder) -> None:
    for first, end in ((0, 20), (20, 40)):
        _write(archive, first, end)
    _write(archive, 1, 2, partition=1)  # nothing but the erased session
    late = Event("late", EventType.VIEW, "s1", "i", MIDNIGHT_MS + 101)
    write_events(archive, [(40, late)], OffsetRange("t", 0, 40, 41))
    erasures = FixedErasures({"u2"}, {"s1"})
    assert remove_erased(archive, erasures) == (17, 5)
    rows = read_archive(archive, ["event_id", "session_id", "user_id", "kafka_offset"]).to_pylist()
    assert {row["session_id"] for row in rows} == {"s0", "s1", "s3", "s4"}
    assert [row["event_id"] for row in rows if row["session_id"] == "s1"] == ["late"]
    assert len(rows) == 25
    assert not [file for file in archive.list().files if file.offsets.partition == 1]
    assert remove_erased(archive, erasures) == (0, 0)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning", "ignore::ResourceWarning")
def test_a_crash_at_any_line_of_an_erasure_leaves_other_rows_alone(tmp_path: Path) -> None:
    root, start = tmp_path / "archive", tmp_path / "start"
    archive = open_archive(root)
    for first, end in ((0, 10), (10, 20)):
        _write(archive, first, end)
    _write(archive, 1, 2, partition=1)
    shutil.copytree(root, start)
    erasures = FixedErasures({"u2"}, {"s1"})
    stay = [n for n in range(20) if n % 5 not in (1, 2)]
    crashes = 0
    for crashes in _crashes(archive, root, lambda: remove_erased(archive, erasures), start):
        assert [n for n in _offsets(archive) if n % 5 not in (1, 2)] == stay
        if crashes % 7 == 0:
            remove_erased(archive, erasures)
            assert _offsets(archive) == stay
            assert not list(root.rglob("*.tmp"))
    assert crashes > 100


def test_a_compaction_drops_erased_rows_that_a_writer_brought_back(archive: ArchiveFolder) -> None:
    for first in range(0, 40, 10):
        _write(archive, first, first + 10)
    erasures = FixedErasures({"u2"}, set())
    compact(archive, NOW_OLD, lambda table: without_erased(table, erasures))
    assert [n for n in _offsets(archive) if n % 5 == 2] == [32, 37]  # in the newest files, left alone
    remove_erased(archive, erasures)
    assert not [n for n in _offsets(archive) if n % 5 == 2]
