"""Folds the archive into the online store, each partition by rising offset, as the consumer folded the messages."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import UTC, datetime

import pyarrow as pa

from feature_repo.archive.folder import ArchiveFolder, open_archive
from feature_repo.archive.names import ArchiveFile
from feature_repo.archive.reader import OFFSET, by_date_and_partition, partition_in_offset_order
from feature_repo.errors import ArchiveError
from feature_repo.online.redis_rows import RedisRows
from feature_repo.schema import EVENT_TYPES, Event
from streaming.erasures import Erasures
from streaming.kafka.admin import open_admin
from streaming.kafka.topics import ensure_topics
from streaming.sessions.batches import EventBatch
from streaming.sessions.folding import OnlineFold
from streaming.settings import StreamingSettings

COLUMNS = ("event_id", "event_type", "session_id", "item_id", "timestamp_ms", "user_id")

BATCH_SIZE = 10_000
"""Events folded and written together: more than the consumer takes, as nobody waits for the first of them."""

Progress = Callable[[int, int, int], None]
"""Gets the offsets passed so far, how many there are to pass, and the events folded."""


@dataclass(slots=True)
class Backfilled:
    """Counts of events."""

    partitions: int = 0
    new: int = 0
    """Not in the store before."""
    repeated: int = 0
    """In the store already, or older than all that a full session keeps."""
    erased: int = 0
    """Of people who were erased: left out."""
    foreign_files: int = 0
    """Files whose names tell no offsets: left out."""

    @property
    def folded(self) -> int:
        """Events that went through the fold."""
        return self.new + self.repeated


@dataclass(frozen=True, slots=True)
class Times:
    """Event times in ms since the epoch, `until` not included; None is no limit."""

    since: int | None = None
    until: int | None = None

    @property
    def are_all(self) -> bool:
        """Whether there is no limit."""
        return self.since is None and self.until is None

    def covers(self, file: ArchiveFile) -> bool:
        """Whether a file may hold such events."""
        midnight_ms = int(datetime.combine(file.event_date, datetime.min.time(), UTC).timestamp() * 1000)
        after_start = self.since is None or midnight_ms + 86_400_000 > self.since
        return after_start and (self.until is None or midnight_ms < self.until)

    def hold(self, timestamp_ms: int) -> bool:
        """Whether it is one of these times."""
        return (self.since is None or timestamp_ms >= self.since) and (self.until is None or timestamp_ms < self.until)


def backfill(
    settings: StreamingSettings, times: Times, progress: Progress | None = None, batch_size: int = BATCH_SIZE
) -> Backfilled:
    """Fold archived events of these times into the store; what it holds already changes nothing.

    Of some times, what the consumer has yet to come to is left to it: popular items take each offset once, in order, so
    that events before those folded here would never be counted.

    Raises ArchiveError, OnlineStoreError and KafkaFailedError; it may then be run again.
    """
    folder = open_archive(settings.archive_path)
    listing = folder.list()
    files = [file for file in listing.files if times.covers(file)]
    if not files:
        raise ArchiveError(f"archive {settings.archive_path}: there are no events of that time")
    result = Backfilled(foreign_files=len(listing.foreign))
    partitions = _partitions(files)
    total = sum(_span(of_partition) for of_partition in partitions)
    passed = 0
    yet_to_come = {} if times.are_all else _yet_to_come(settings)
    with closing(RedisRows(settings)) as rows, closing(Erasures(settings)) as erasures:
        fold = OnlineFold(rows, settings, rewrites=True)
        for of_partition in partitions:
            first = min(file.offsets.first for file in of_partition)
            until = yet_to_come.get(of_partition[0].offsets.source)
            for batch in _batches(folder, of_partition, times, until, batch_size):
                if erasures.refresh(max_age_seconds=1.0):
                    fold.forget_all()
                _apply(fold, erasures, batch, result)
                if progress:
                    progress(passed + batch.next_offset - first, total, result.folded)
            passed += _span(of_partition)
            result.partitions += 1
    return result


def _partitions(files: Sequence[ArchiveFile]) -> list[list[ArchiveFile]]:
    """Files of each partition; topics in the order of their oldest events."""
    by_partition: dict[tuple[str, int], list[ArchiveFile]] = {}
    for group in by_date_and_partition(files):
        by_partition.setdefault(group[0].offsets.source, []).extend(group)
    return list(by_partition.values())


def _span(files: Sequence[ArchiveFile]) -> int:
    return max(file.offsets.end for file in files) - min(file.offsets.first for file in files)


def _yet_to_come(settings: StreamingSettings) -> dict[tuple[str, int], int]:
    """Offset from which the consumer group will read each partition of the topic of events."""
    topic_id = ensure_topics(settings)[settings.events_topic]
    with open_admin(settings) as admin:
        partitions = admin.partitions(settings.events_topic)
        reached = admin.begins(partitions) | admin.committed(settings.consumer_group, partitions)
    return {(topic_id, partition.partition): offset for partition, offset in reached.items()}


def _batches(
    folder: ArchiveFolder, files: Sequence[ArchiveFile], times: Times, until: int | None, size: int
) -> Iterator[EventBatch]:
    """Of one partition, up to this offset."""
    source = files[0].offsets.source
    held: list[tuple[int, Event]] = []
    for table in partition_in_offset_order(folder, source, COLUMNS, times.covers):
        held += (
            (offset, event)
            for offset, event in _events(table)
            if times.hold(event.timestamp_ms) and (until is None or offset < until)
        )
        while len(held) >= size:
            yield EventBatch(*source, 0, held[size - 1][0] + 1, held[:size])
            del held[:size]
    if held:
        # messages after the last event were none, as the consumer knew too
        end = max(file.offsets.end for file in files) if times.are_all else 0
        yield EventBatch(*source, 0, max(end, held[-1][0] + 1), held)


def _events(table: pa.Table) -> Iterator[tuple[int, Event]]:
    """Offset and event of each row; without attributes, which no fold looks at."""
    columns = (table[name].to_pylist() for name in (OFFSET, *COLUMNS))
    for offset, event_id, event_type, session_id, item_id, timestamp_ms, user_id in zip(*columns, strict=True):
        yield offset, Event(event_id, EVENT_TYPES[event_type], session_id, item_id, timestamp_ms, user_id)


def _apply(fold: OnlineFold, erasures: Erasures, batch: EventBatch, result: Backfilled) -> None:
    kept = [pair for pair in batch.events if not erasures.is_erased(pair[1])]
    result.erased += len(batch.events) - len(kept)
    applied = fold.apply([replace(batch, events=kept)])
    result.new += applied.new.total()
    result.repeated += applied.repeated.total()
