"""Takes the rows of erased people out of the archive: file by file, each replaced whole."""

from collections.abc import Callable
from typing import IO

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from feature_repo.archive.folder import ArchiveFolder
from feature_repo.archive.reader import retry_if_gone
from feature_repo.errors import ArchiveFileGoneError
from streaming.erasures import SESSION, USER, Erasures
from streaming.jobs.compaction import write_tables

_COLUMNS = ["session_id", "user_id", "timestamp_ms"]

Progress = Callable[[int, int], None]
"""Gets the files looked through so far, and how many there are."""


def without_erased(table: pa.Table, erasures: Erasures) -> pa.Table:
    """The rows that may stay; the table has at least session_id, user_id and timestamp_ms."""
    if not erasures or not len(table):
        return table
    before_ms = np.maximum(
        _before_ms(table["session_id"], SESSION, erasures), _before_ms(table["user_id"], USER, erasures)
    )
    stays = table["timestamp_ms"].to_numpy() > before_ms
    return table if stays.all() else table.filter(pa.array(stays))


def remove_erased(folder: ArchiveFolder, erasures: Erasures, progress: Progress | None = None) -> tuple[int, int]:
    """Remove the rows of everybody erased so far; rows and files changed. What killed writers left goes too.

    A crash leaves each file as it was or without those rows. Raises ArchiveError.
    """
    with folder.exclusively():
        folder.remove_temporaries()
        affected = retry_if_gone(lambda: _affected(folder, erasures, progress))
        for path, _ in affected:
            try:
                _rewrite(folder, path, erasures)
            except ArchiveFileGoneError:
                continue
    return sum(count for _, count in affected), len(affected)


def _affected(folder: ArchiveFolder, erasures: Erasures, progress: Progress | None) -> list[tuple[str, int]]:
    """Path of each file with rows to remove, and how many."""
    found = []
    paths = folder.list().paths
    for done, path in enumerate(paths, start=1):
        with folder.explained(), folder.open(path) as source:
            table = pq.ParquetFile(source).read(columns=_COLUMNS)
        if count := len(table) - len(without_erased(table, erasures)):
            found.append((path, count))
        if progress:
            progress(done, len(paths))
    return found


def _rewrite(folder: ArchiveFolder, path: str, erasures: Erasures) -> None:
    with folder.explained(), folder.open(path) as source:
        parquet = pq.ParquetFile(source)
        batches = (pa.Table.from_batches([batch]) for batch in parquet.iter_batches())
        tables = (without_erased(table, erasures) for table in batches)
        rows = 0

        def write(file: IO[bytes]) -> None:
            nonlocal rows
            rows = write_tables(tables, parquet.schema_arrow, file)

        folder.put(path, write)
    if not rows:
        folder.remove(path)


def _before_ms(column: pa.ChunkedArray, kind: str, erasures: Erasures) -> npt.NDArray[np.int64]:
    """Up to which event time each row is erased by this id; ids are hashed once each."""
    encoded = pa.concat_arrays(column.chunks).dictionary_encode()
    by_id = [erasures.before_ms(kind, name) for name in encoded.dictionary.to_pylist()]
    nobody = len(by_id)
    indices = encoded.indices.fill_null(nobody).to_numpy()
    return np.array([*by_id, -1], np.int64)[indices]
