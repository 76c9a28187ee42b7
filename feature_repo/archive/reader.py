"""Reads the archive so that every row comes once, though files may overlap: see `archive_folder`."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import date
from typing import TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq

from feature_repo.archive.columns import EVENT_ARCHIVE_SCHEMA
from feature_repo.archive.folder import ArchiveFolder
from feature_repo.archive.names import ArchiveFile, Listing
from feature_repo.errors import ArchiveFileGoneError

OFFSET = "kafka_offset"

_ID = "event_id"
_BATCH_ROWS = 16_384
_ATTEMPTS = 5

Result = TypeVar("Result")


def read_archive(folder: ArchiveFolder, columns: Sequence[str]) -> pa.Table:
    """All rows, in any order, each once. Raises ArchiveError."""
    return retry_if_gone(lambda: _read_files(folder, folder.list(), columns))


def read_where(folder: ArchiveFolder, columns: Sequence[str], column: str, values: Sequence[str]) -> pa.Table:
    """Rows whose `column` is one of `values`; some may come twice. Raises ArchiveError."""
    return _read_as_they_are(folder, folder.list().paths, columns, ds.field(column).isin(pa.array(values, pa.string())))


def retry_if_gone(read: Callable[[], Result]) -> Result:
    """What `read` returns, which lists the files anew each time: a compaction may remove those that it listed."""
    for _ in range(_ATTEMPTS - 1):
        try:
            return read()
        except ArchiveFileGoneError:
            continue
    return read()


def in_offset_order(
    folder: ArchiveFolder, files: Iterable[ArchiveFile], columns: Sequence[str] = EVENT_ARCHIVE_SCHEMA.names
) -> Iterator[pa.Table]:
    """Rows of one partition's files by rising offset, each offset once, in tables of some thousand rows.

    Has the columns that are asked for, `kafka_offset` and `event_id`. Holds one batch of each file whose range is being
    read. Raises ArchiveError.
    """
    columns = [*columns, *(name for name in (OFFSET, _ID) if name not in columns)]
    waiting = sorted(files, key=lambda file: file.offsets, reverse=True)
    cursors: list[_Cursor] = []
    while waiting or cursors:
        while waiting and (not cursors or waiting[-1].offsets.first <= min(cursor.last for cursor in cursors)):
            cursor = _Cursor(folder, waiting.pop(), columns)
            if cursor.has_rows:
                cursors.append(cursor)
        if not cursors:
            return
        until = min(cursor.last for cursor in cursors)
        yield _once(pa.concat_tables([cursor.take(until) for cursor in cursors]))
        cursors = [cursor for cursor in cursors if cursor.has_rows]


def partition_in_offset_order(
    folder: ArchiveFolder,
    source: tuple[str, int],
    columns: Sequence[str],
    wanted: Callable[[ArchiveFile], bool],
) -> Iterator[pa.Table]:
    """As `in_offset_order`, for all wanted files of a partition; goes on where it was when a compaction removes some.

    Raises ArchiveError.
    """
    position, attempts = 0, 0
    while True:
        files = [
            file
            for file in folder.list().files
            if file.offsets.source == source and file.offsets.end > position and wanted(file)
        ]
        try:
            for table in in_offset_order(folder, files, columns):
                offsets = table[OFFSET].to_numpy()
                yield table.slice(int(np.searchsorted(offsets, position)))
                position, attempts = max(position, int(offsets[-1]) + 1), 0
            return
        except ArchiveFileGoneError:
            attempts += 1
            if attempts == _ATTEMPTS:
                raise


def overlapping(files: Sequence[ArchiveFile]) -> list[list[ArchiveFile]]:
    """Files of one date and partition in order, those that overlap in one group."""
    groups: list[list[ArchiveFile]] = []
    end = -1
    for file in sorted(files, key=lambda file: file.offsets):
        if file.offsets.first < end:
            groups[-1].append(file)
        else:
            groups.append([file])
        end = max(end, file.offsets.end)
    return groups


def by_date_and_partition(files: Iterable[ArchiveFile]) -> list[list[ArchiveFile]]:
    """Files of the same date, topic and partition together."""
    groups: dict[tuple[date, str, int], list[ArchiveFile]] = defaultdict(list)
    for file in files:
        groups[file.event_date, *file.offsets.source].append(file)
    return [groups[key] for key in sorted(groups)]


def _read_files(folder: ArchiveFolder, listing: Listing, columns: Sequence[str]) -> pa.Table:
    alone = list(listing.foreign)
    parts: list[pa.Table] = []
    for same_partition in by_date_and_partition(listing.files):
        for group in overlapping(same_partition):
            if len(group) == 1:
                alone.append(group[0].path)
            else:
                parts += (table.select(list(columns)) for table in in_offset_order(folder, group, columns))
    parts.append(_read_as_they_are(folder, alone, columns))
    return pa.concat_tables(parts)


def _read_as_they_are(
    folder: ArchiveFolder, paths: Sequence[str], columns: Sequence[str], condition: ds.Expression | None = None
) -> pa.Table:
    if not paths:
        return EVENT_ARCHIVE_SCHEMA.empty_table().select(list(columns))
    filesystem, root = folder.arrow
    full_paths = [f"{root}{path}" for path in paths]
    with folder.explained():
        dataset = ds.dataset(full_paths, schema=EVENT_ARCHIVE_SCHEMA, format="parquet", filesystem=filesystem)
        return dataset.to_table(columns=list(columns), filter=condition)


class _Cursor:
    """Goes through one file, whose rows stand by rising offset."""

    def __init__(self, folder: ArchiveFolder, file: ArchiveFile, columns: Sequence[str]) -> None:
        self._folder = folder
        self._file = file
        self._columns = columns
        self._rows_read = 0
        with folder.explained():
            self._source = folder.open(file.path)
            parquet = pq.ParquetFile(self._source)
            present = [name for name in columns if name in parquet.schema_arrow.names]
            self._batches = parquet.iter_batches(_BATCH_ROWS, columns=present)
        self._rows = self._next_rows()

    @property
    def has_rows(self) -> bool:
        return len(self._rows) > 0

    @property
    def last(self) -> int:
        """Highest offset at hand; lower ones have all been taken or are at hand too."""
        return int(self._rows[OFFSET][-1].as_py())

    def take(self, until: int) -> pa.Table:
        """Rows at hand up to this offset, then go on to more if none is left."""
        count = int(np.searchsorted(self._rows[OFFSET].to_numpy(), until, side="right"))
        taken, left = self._rows.slice(0, count), self._rows.slice(count)
        self._rows = left if len(left) else self._next_rows()
        return taken

    def _next_rows(self) -> pa.Table:
        """Empty at the file's end."""
        schema = pa.schema([EVENT_ARCHIVE_SCHEMA.field(name) for name in self._columns])
        with self._folder.explained():
            batch = next((batch for batch in self._batches if batch.num_rows), None)
        if batch is None:
            self._source.close()
            return schema.empty_table()
        arrays = [
            batch[name] if name in batch.schema.names else self._filled(name, batch.num_rows) for name in self._columns
        ]
        self._rows_read += batch.num_rows
        return pa.Table.from_arrays(arrays, schema=schema)

    def _filled(self, name: str, rows: int) -> pa.Array:
        """Files of the first release number no rows: there a row stands for the lowest offset that it can have."""
        offsets = self._file.offsets
        if name == OFFSET:
            start = offsets.first + self._rows_read
            return pa.array(range(start, start + rows), pa.int64())
        return pa.array([offsets.partition] * rows, pa.int32())


def _once(table: pa.Table) -> pa.Table:
    """Rows by rising offset, each once. Rows of the first release may share an offset, and are then other events."""
    offsets = table[OFFSET].to_numpy()
    if len(offsets) < 2 or np.all(offsets[1:] > offsets[:-1]):
        return table
    table = table.take(np.argsort(offsets, kind="stable"))
    first = dict[tuple[int, str], int]()
    for row, pair in enumerate(zip(table[OFFSET].to_pylist(), table[_ID].to_pylist(), strict=True)):
        first.setdefault(pair, row)
    return table if len(first) == len(table) else table.take(list(first.values()))
