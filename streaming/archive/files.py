"""What the archive writer writes: one file for each date that its events have, named by their offsets."""

from collections import defaultdict
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import partial
from typing import IO

import pyarrow as pa
import pyarrow.parquet as pq

from feature_repo.archive.columns import events_to_table
from feature_repo.archive.folder import ArchiveFolder
from feature_repo.archive.names import OffsetRange, folder_of
from feature_repo.schema import Event

_DAY_MS = 24 * 60 * 60 * 1000


def write_events(archive: ArchiveFolder, events: Sequence[tuple[int, Event]], offsets: OffsetRange) -> list[str]:
    """Write (offset, event) pairs, one file for each date (UTC); the paths. Raises ArchiveError.

    The same events and range make the same files, so a write that was cut off is made good by doing it again.
    """
    by_day: dict[int, list[tuple[int, Event]]] = defaultdict(list)
    for offset, event in events:
        by_day[event.timestamp_ms // _DAY_MS].append((offset, event))
    paths = []
    for day, of_day in sorted(by_day.items()):
        table = events_to_table([event for _, event in of_day], [offset for offset, _ in of_day], offsets.partition)
        path = f"{folder_of(datetime.fromtimestamp(day * _DAY_MS / 1000, UTC).date())}/{offsets.file_name}"
        archive.put(path, partial(_write, table))
        paths.append(path)
    return paths


def unfinished_ends(archive: ArchiveFolder, topic_id: str, partition: int, position: int) -> list[int]:
    """Where files end that begin at `position` or later, by rising offset: they were written but never committed.

    Whoever writes these messages again does so up to the same ends, and thus the same files. Removing them instead
    could remove those of a successor: only Kafka knows who owns a partition, and it is asked too early. What killed
    writers left half written is removed. Raises ArchiveError.
    """
    archive.remove_temporaries(f"{topic_id}-{partition:05d}-")
    ranges = (file.offsets for file in archive.list().files)
    return sorted({each.end for each in ranges if each.source == (topic_id, partition) and each.first >= position})


def _write(table: pa.Table, file: IO[bytes]) -> None:
    pq.write_table(table, file, compression="zstd")
