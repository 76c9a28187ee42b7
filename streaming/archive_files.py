"""The Parquet files of the event archive, named by where in Kafka their events stand.

`event_date=YYYY-MM-DD/<topic id>-<partition>-<first offset>-<end offset>.parquet`: offsets are never used twice under
one topic id, so files of another cluster, or of a topic created anew, can share the folder.
"""

import logging
import os
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pyarrow.parquet as pq

from feature_repo.archive_schema import EVENT_DATE, events_to_table
from feature_repo.schema import Event

log = logging.getLogger(__name__)

_DAY_MS = 24 * 60 * 60 * 1000


@dataclass(frozen=True, slots=True)
class OffsetRange:
    """Offsets of one partition, `end` not included."""

    topic_id: str
    partition: int
    first: int
    end: int

    @property
    def file_name(self) -> str:
        """Sorts by offset."""
        return f"{self.topic_id}-{self.partition:05d}-{self.first:020d}-{self.end:020d}.parquet"


def write_events(archive: Path, events: Sequence[Event], offsets: OffsetRange) -> list[Path]:
    """Write one file for each date (UTC) that an event has; a reader sees a file whole or not at all."""
    by_day: dict[int, list[Event]] = defaultdict(list)
    for event in events:
        by_day[event.timestamp_ms // _DAY_MS].append(event)
    return [_write_file(archive / _folder(day), of_day, offsets) for day, of_day in by_day.items()]


def remove_uncommitted(archive: Path, topic_id: str, partition: int, position: int) -> list[Path]:
    """Remove what was written of a partition from `position` on: it was never committed and is about to come again.

    Temporary files that a killed writer left behind go as well.
    """
    removed = []
    for path in archive.glob(f"{EVENT_DATE}=*/*{topic_id}-{partition:05d}-*"):
        if path.name.startswith(".") or int(path.stem.split("-")[2]) >= position:
            path.unlink(missing_ok=True)
            removed.append(path)
    if removed:
        log.info("%d archive files of a write that was not committed are written again", len(removed))
    return removed


def _folder(day: int) -> str:
    return f"{EVENT_DATE}={datetime.fromtimestamp(day * _DAY_MS / 1000, UTC):%Y-%m-%d}"


def _write_file(folder: Path, events: Sequence[Event], offsets: OffsetRange) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / offsets.file_name
    temporary = folder / f".{path.name}.tmp"  # readers skip names with a leading dot
    with temporary.open("wb") as file:
        pq.write_table(events_to_table(events), file, compression="zstd")
        file.flush()
        os.fsync(file.fileno())  # the offset is committed next, so the bytes have to be there for good
    temporary.rename(path)
    return path
