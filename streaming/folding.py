"""Folds batches of events into the online store: sessions, popular items and user histories.

Sessions, popular items and the position in each partition are written in one transaction, so that an event which comes
again, after a crash or to another consumer, counts once. Histories follow row by row: a user's sessions may lie in
several partitions, so other consumers write the same rows, and a row that changed meanwhile is read and folded again.
"""

import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from feature_repo.errors import OnlineStoreError
from feature_repo.online_store import open_rows
from feature_repo.redis_rows import EncodedRow
from feature_repo.schema import Event, EventType
from feature_repo.timeline import SessionTimeline, Timeline, UserTimeline
from feature_repo.views import SESSION_EVENTS, USER_HISTORY
from streaming.hot_timelines import HotTimelines
from streaming.popular_items import PopularItems
from streaming.settings import StreamingSettings

_ATTEMPTS = 20
"""Tries of a batch against other writers of the same rows; more than a few mean that two consumers fight for good."""

_EXPIRY_REFRESH_SECONDS = 3600.0
"""Age at which a row's expiry, weeks ahead, is set anew."""


@dataclass(frozen=True, slots=True)
class PartitionBatch:
    """Events of one partition in the order of their offsets, of which those between that are no events are left out."""

    topic_id: str
    partition: int
    events: Sequence[tuple[int, Event]]
    next_offset: int
    """Offset after the last message of the batch, event or not."""

    @property
    def position_name(self) -> str:
        """Names the partition in the online store; a topic that was created anew has another id."""
        return f"{self.topic_id}/{self.partition}"


@dataclass(slots=True)
class Applied:
    """What became of a batch's events."""

    new: Counter[EventType] = field(default_factory=Counter)
    repeated: Counter[EventType] = field(default_factory=Counter)
    """Known already, or older than all that a full session keeps."""
    hot: int = 0
    """Sessions that were at hand."""
    cold: int = 0
    """Sessions that had to be read."""
    write_seconds: float = 0.0
    """Spent on waiting for the store to take the rows."""


class OnlineFold:
    """Applies batches, each whole or not at all. For one thread."""

    def __init__(self, settings: StreamingSettings) -> None:
        self._rows = open_rows(settings)
        self._sessions: HotTimelines[SessionTimeline] = HotTimelines(settings.hot_events)
        self._users: HotTimelines[UserTimeline] = HotTimelines(settings.hot_events)
        self._popular = PopularItems(self._rows) if settings.fold_popular_items else None
        self._folds_history = settings.fold_user_history
        self._positions: dict[str, int] = {}

    def apply(self, batches: Sequence[PartitionBatch]) -> Applied:
        """Fold at most one batch of each partition into the store; what was applied before changes nothing.

        Raises OnlineStoreError; then nothing is remembered that the store may not have, and the batch may come again.
        """
        try:
            applied = self._retry(lambda: self._fold_sessions(batches))
            if self._folds_history:
                self._fold_histories(batches, applied)
        except OnlineStoreError:
            self.forget_all()
            raise
        return applied

    def forget(self, partitions: Iterable[int]) -> None:
        """Drop what is remembered of partitions that another consumer may write from now on."""
        gone = set(partitions)
        self._sessions.drop(gone)
        if self._popular:
            self._popular.drop(gone)
        for name in [name for name in self._positions if int(name.rpartition("/")[2]) in gone]:
            del self._positions[name]

    def forget_all(self) -> None:
        """Drop everything remembered."""
        self._sessions.clear()
        self._users.clear()
        self._positions.clear()
        if self._popular:
            self._popular.clear()

    def close(self) -> None:
        """Give connections back."""
        self._rows.close()

    def _retry(self, attempt: Callable[[], Applied | None]) -> Applied:
        for _ in range(_ATTEMPTS):
            if (applied := attempt()) is not None:
                return applied
        raise OnlineStoreError("other consumers keep writing the same sessions: is CONSUMER_GROUP the same for all?")

    def _fold_sessions(self, batches: Sequence[PartitionBatch]) -> Applied | None:
        """None, with nothing written, when another consumer has written these partitions since we last did."""
        found = self._read_sessions(batches)
        if found is None:
            return None
        timelines, positions, applied = found
        if self._popular:
            self._popular.load(batches)
        for batch in batches:
            self._fold_batch(batch, timelines, positions[batch.position_name], applied)
        return applied if self._commit(batches, timelines, positions, applied) else None

    def _read_sessions(
        self, batches: Sequence[PartitionBatch]
    ) -> tuple[dict[str, SessionTimeline], dict[str, int], Applied] | None:
        session_ids = {event.session_id for batch in batches for _, event in batch.events}
        timelines = self._sessions.get(session_ids)
        cold = [session_id for session_id in session_ids if session_id not in timelines]
        names = [batch.position_name for batch in batches]
        stored, rows = self._rows.begin(names, [(SESSION_EVENTS, session_id) for session_id in cold])
        positions = dict(zip(names, stored, strict=True))
        if any(self._positions.get(name, position) != position for name, position in positions.items()):
            self.forget(batch.partition for batch in batches)
            return None
        hot = len(timelines)
        for session_id, fields in zip(cold, rows, strict=True):
            timelines[session_id] = (
                SessionTimeline.from_fields(session_id, fields) if fields else SessionTimeline(session_id)
            )
        return timelines, positions, Applied(hot=hot, cold=len(cold))

    def _fold_batch(
        self, batch: PartitionBatch, timelines: dict[str, SessionTimeline], position: int, applied: Applied
    ) -> None:
        popular, partition, new, repeated = self._popular, batch.partition, applied.new, applied.repeated
        for offset, event in batch.events:
            if timelines[event.session_id].add(event):
                new[event.event_type] += 1
                if popular and offset >= position:
                    popular.add(partition, event)
            else:
                repeated[event.event_type] += 1

    def _commit(
        self,
        batches: Sequence[PartitionBatch],
        timelines: dict[str, SessionTimeline],
        positions: dict[str, int],
        applied: Applied,
    ) -> bool:
        for batch in batches:
            positions[batch.position_name] = max(positions[batch.position_name], batch.next_offset)
        rows = _dirty_rows(timelines.values())
        rows += self._popular.dirty_rows() if self._popular else []
        with _timed(applied):
            committed = self._rows.commit(positions, rows)
        if not committed:
            self.forget(batch.partition for batch in batches)
            return False
        self._positions |= positions
        for batch in batches:
            self._sessions.put(
                {event.session_id: timelines[event.session_id] for _, event in batch.events}, batch.partition
            )
        if self._popular:
            self._popular.written()
        return True

    def _fold_histories(self, batches: Sequence[PartitionBatch], applied: Applied) -> None:
        pending: dict[str, list[Event]] = {}
        for batch in batches:
            for _, event in batch.events:
                if event.user_id:
                    pending.setdefault(event.user_id, []).append(event)
        for _ in range(_ATTEMPTS):
            if not pending:
                return
            pending = self._swap_histories(pending, applied)
        raise OnlineStoreError("other consumers keep writing the same users' histories")

    def _swap_histories(self, events_of: dict[str, list[Event]], applied: Applied) -> dict[str, list[Event]]:
        """The users whose rows another consumer has changed meanwhile, with their events."""
        timelines = self._users.get(events_of)
        cold = [user_id for user_id in events_of if user_id not in timelines]
        found = self._rows.read_revised([(USER_HISTORY, user_id) for user_id in cold])
        for user_id, (revision, fields) in zip(cold, found, strict=True):
            timeline = UserTimeline.from_fields(user_id, fields) if fields else UserTimeline(user_id)
            timeline.revision = revision
            timelines[user_id] = timeline
        for user_id, events in events_of.items():
            add = timelines[user_id].add
            for event in events:
                add(event)
        changed = [timeline for timeline in timelines.values() if timeline.dirty]
        revisions = [timeline.revision for timeline in changed]
        rows = _dirty_rows(changed)
        with _timed(applied):
            swapped = self._rows.swap(rows, revisions)
        lost = {timeline.key for timeline, done in zip(changed, swapped, strict=True) if not done}
        for timeline in changed:
            timeline.revision += 1
        self._users.put({key: timeline for key, timeline in timelines.items() if key not in lost}, 0)
        self._users.remove(lost)
        return {user_id: events_of[user_id] for user_id in lost}


@contextmanager
def _timed(applied: Applied) -> Iterator[None]:
    started = time.perf_counter()
    yield
    applied.write_seconds += time.perf_counter() - started


def _dirty_rows(timelines: Iterable[Timeline]) -> list[EncodedRow]:
    """Rows of what has changed, which counts as written from now on: a failed write forgets the timelines."""
    now = time.monotonic()
    rows = []
    for timeline in timelines:
        if timeline.dirty:
            sets_expiry = not timeline.expiry_set_at or now - timeline.expiry_set_at > _EXPIRY_REFRESH_SECONDS
            rows.append(EncodedRow(timeline.view, timeline.key, timeline.encoded(), sets_expiry))
            timeline.dirty = False
            if sets_expiry:
                timeline.expiry_set_at = now
    return rows
