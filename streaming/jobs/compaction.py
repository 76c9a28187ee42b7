"""Merges the archive's small files: readers open fewer of them, and rows that stand in two files stand in one.

The merged file is put first, then the files that it is made of are removed. A crash in between leaves rows in two
files whose ranges overlap, which readers take once, and the next compaction merges.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import IO

import pyarrow as pa
import pyarrow.parquet as pq

from feature_repo.archive.columns import EVENT_ARCHIVE_SCHEMA
from feature_repo.archive.folder import ArchiveFolder
from feature_repo.archive.names import ArchiveFile, OffsetRange, folder_of
from feature_repo.archive.reader import by_date_and_partition, in_offset_order, overlapping
from feature_repo.errors import ArchiveFileGoneError

ROW_GROUP_ROWS = 128 * 1024

Keep = Callable[[pa.Table], pa.Table]
"""Gets rows of a file, returns those that stay."""

Progress = Callable[[int, int], None]
"""Gets the files merged so far, and how many there are to merge."""


@dataclass(frozen=True, slots=True)
class CompactionOptions:
    """What to merge."""

    older_than_seconds: float = 3600.0
    """Files younger than that are left alone."""
    target_bytes: int = 128 * 1024 * 1024
    """A file of at least half that size stays as it is, and a merged one does not exceed it."""


@dataclass(frozen=True, slots=True)
class Merge:
    """Files of one date and partition that become one."""

    files: tuple[ArchiveFile, ...]

    @property
    def path(self) -> str:
        """Of the merged file; it may be that of one of them, which is then replaced."""
        ranges = [file.offsets for file in self.files]
        first, end = min(each.first for each in ranges), max(each.end for each in ranges)
        offsets = OffsetRange(*ranges[0].source, first, end)
        return f"{folder_of(self.files[0].event_date)}/{offsets.file_name}"


@dataclass(slots=True)
class Compacted:
    """What became of one date."""

    event_date: date
    files_before: int = 0
    files_after: int = 0
    rows: int = 0
    """In merged files."""
    bytes_before: int = 0
    bytes_after: int = 0
    merges: list[Merge] = field(default_factory=list)


def plan(files: Sequence[ArchiveFile], options: CompactionOptions, now: float) -> list[Compacted]:
    """What is to be done on each date that has anything to do; `now` in seconds since the epoch.

    A partition's newest files are left alone, on every date: their offsets may not have been committed yet, and would
    then be written again under the same names.
    """
    newest: dict[tuple[str, int], int] = {}
    for file in files:
        source = file.offsets.source
        newest[source] = max(newest.get(source, 0), file.offsets.first)

    def may_go(file: ArchiveFile) -> bool:
        is_old = now - file.modified >= options.older_than_seconds
        return is_old and file.offsets.first < newest[file.offsets.source]

    dates: dict[date, Compacted] = {}
    for same_partition in by_date_and_partition(files):
        for merge in _merges(same_partition, may_go, options.target_bytes):
            event_date = merge.files[0].event_date
            dates.setdefault(event_date, Compacted(event_date)).merges.append(merge)
    for of_date in dates.values():
        there = [file for file in files if file.event_date == of_date.event_date]
        of_date.files_before = len(there)
        of_date.files_after = len(there) - sum(len(merge.files) - 1 for merge in of_date.merges)
        of_date.bytes_before = of_date.bytes_after = sum(file.size for file in there)
    return [dates[event_date] for event_date in sorted(dates)]


def compact(
    folder: ArchiveFolder,
    options: CompactionOptions,
    keep: Keep | None = None,
    progress: Progress | None = None,
) -> list[Compacted]:
    """Merge small files, and in the same go drop rows that `keep` drops. Raises ArchiveError."""
    with folder.exclusively():
        dates = plan(folder.list().files, options, time.time())
        total = sum(len(merge.files) for of_date in dates for merge in of_date.merges)
        done = 0
        for of_date in dates:
            for merge in of_date.merges:
                of_date.rows += _merge(folder, merge, keep)
                done += len(merge.files)
                if progress:
                    progress(done, total)
        sizes = {file.path: file.size for file in folder.list().files}
        for of_date in dates:
            of_date.bytes_after += sum(sizes.get(merge.path, 0) for merge in of_date.merges)
            of_date.bytes_after -= sum(file.size for merge in of_date.merges for file in merge.files)
    return dates


def write_tables(tables: Iterator[pa.Table], schema: pa.Schema, file: IO[bytes]) -> int:
    """Write a Parquet file in row groups of a useful size; its rows."""
    rows, held = 0, list[pa.Table]()
    with pq.ParquetWriter(file, schema, compression="zstd") as writer:
        for table in tables:
            rows += len(table)
            held.append(table)
            if sum(map(len, held)) >= ROW_GROUP_ROWS:
                writer.write_table(pa.concat_tables(held), row_group_size=ROW_GROUP_ROWS)
                held.clear()
        if held:
            writer.write_table(pa.concat_tables(held), row_group_size=ROW_GROUP_ROWS)
    return rows


def _merges(files: Sequence[ArchiveFile], may_go: Callable[[ArchiveFile], bool], target_bytes: int) -> Iterator[Merge]:
    """Neighbours that fit together; files that overlap are never parted."""
    run: list[ArchiveFile] = []
    for group in overlapping(files):
        size = sum(file.size for file in group)
        is_fine = len(group) == 1 and size >= target_bytes / 2
        ends_run = is_fine or not all(map(may_go, group))
        if run and (ends_run or sum(file.size for file in run) + size > target_bytes):
            yield from _merge_of(run)
            run = []
        if not ends_run:
            run += group
    yield from _merge_of(run)


def _merge_of(run: Sequence[ArchiveFile]) -> Iterator[Merge]:
    if len(run) > 1:
        yield Merge(tuple(run))


def _merge(folder: ArchiveFolder, merge: Merge, keep: Keep | None) -> int:
    rows = 0

    def write(file: IO[bytes]) -> None:
        nonlocal rows
        tables = in_offset_order(folder, merge.files)
        rows = write_tables(map(keep, tables) if keep else tables, EVENT_ARCHIVE_SCHEMA, file)

    try:
        folder.put(merge.path, write)
    except ArchiveFileGoneError:  # an erasure elsewhere has emptied it
        return 0
    for file in merge.files:
        if file.path != merge.path:
            folder.remove(file.path)
    return rows
