"""Folds batches of events into the online store: sessions, popular items and user histories.

Sessions, popular items and the position in each partition are written in one transaction, so that an event which comes
again, after a crash or to another consumer, counts once. Histories go row by row: a user's sessions may lie in several
partitions, so other consumers write the same rows, and a row that changed meanwhile is read and folded again.
"""

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager

from feature_repo.errors import OnlineStoreError
from feature_repo.online.redis_layout import Encoded
from feature_repo.online.redis_rows import RedisRows
from feature_repo.online.rows import EncodedRow, check_follows
from feature_repo.schema import Event
from feature_repo.views import SESSION_EVENTS, USER_HISTORY
from streaming.sessions.batches import Applied, PartitionBatch
from streaming.sessions.hot_timelines import HotTimelines
from streaming.sessions.popular_items import PopularItems
from streaming.sessions.sorted_events import Entries, entries_of
from streaming.sessions.timeline import SessionTimeline, Timeline, UserTimeline
from streaming.settings import StreamingSettings

_ATTEMPTS = 20
"""Tries of a batch against other writers of the same rows; more than a few mean that two consumers fight for good."""

_EXPIRY_REFRESH_SECONDS = 3600.0
"""Age at which a row's expiry, weeks ahead, is set anew."""


class OnlineFold:
    """Applies batches, each whole or not at all. For one thread.

    One that `rewrites` what others may have folded long ago has them read their rows again.
    """

    def __init__(self, settings: StreamingSettings, rewrites: bool = False) -> None:
        self._rows = RedisRows(settings)
        self._rewrites = rewrites
        self._rewrites_seen = 0
        self._sessions: HotTimelines[SessionTimeline] = HotTimelines(settings.hot_events)
        self._users: HotTimelines[UserTimeline] = HotTimelines(settings.hot_events)
        self._popular = PopularItems(self._rows) if settings.fold_popular_items else None
        self._folds_history = settings.fold_user_history
        self._positions: dict[str, int] = {}

    def apply(self, batches: Sequence[PartitionBatch]) -> Applied:
        """Fold at most one batch of each partition into the store; what was applied before changes nothing.

        Raises OnlineStoreError; then nothing is remembered that the store may not have, and the batch may come again,
        if that is a StoreBehindError, after what the store lacks.
        """
        return self.send(batches)()

    def send(self, batches: Sequence[PartitionBatch]) -> Callable[[], Applied]:
        """As `apply`, save that the store's answer is waited for by calling what this returns.

        Call it before anything else here, save `forget_all`, which gives it up. Both raise OnlineStoreError.
        """
        work = _Work(batches, self._folds_history)
        with self._forgetting():
            answer = self._attempt(work)

        def finish() -> Applied:
            with self._forgetting():
                self._finish(work, answer)
            return work.applied

        return finish

    def check(self, batches: Sequence[PartitionBatch]) -> None:
        """Raise StoreBehindError where `apply` would; other than that, batches without events do nothing."""
        with self._forgetting():
            check_follows(batches, self._rows.begin([batch.position_name for batch in batches], []))

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

    @contextmanager
    def _forgetting(self) -> Iterator[None]:
        try:
            yield
        except OnlineStoreError:
            self.forget_all()
            raise

    def _finish(self, work: "_Work", answer: Callable[[], bool] | None) -> None:
        for _ in range(_ATTEMPTS):
            if answer and answer():
                return self._swap_again(work)
            answer = self._attempt(work)
        raise OnlineStoreError("other consumers keep writing the same sessions: is CONSUMER_GROUP the same for all?")

    def _attempt(self, work: "_Work") -> Callable[[], bool] | None:
        """None when another consumer has written these partitions since we last did; then nothing is sent.

        The answer is False when one was faster, and no session is written. Histories are folded while the store takes
        the sessions, and may be written though these were refused: an event that comes again changes nothing.
        """
        read = self._read(work)
        if read is None:
            return None
        sessions, users, positions = read
        if self._popular:
            self._popular.load(work.batches)
        for batch, entries in zip(work.batches, work.entries, strict=True):
            self._fold_batch(batch, entries, sessions, positions[batch.position_name], work.applied)
        for batch in work.batches:
            positions[batch.position_name] = max(positions[batch.position_name], batch.next_offset)
        rows = _dirty_rows(sessions.values())
        rows += self._popular.dirty_rows() if self._popular else []
        committed = self._rows.send_commit(positions, rows, is_rewrite=self._rewrites)
        swapped = self._send_histories(work, users)

        def answer() -> bool:
            with _timed(work.applied):
                is_committed = committed()
            swapped()
            if is_committed:
                self._remember(work, sessions, positions)
            else:
                self.forget(batch.partition for batch in work.batches)
            return is_committed

        return answer

    def _remember(self, work: "_Work", sessions: dict[str, SessionTimeline], positions: dict[str, int]) -> None:
        self._positions |= positions
        self._rewrites_seen += self._rewrites
        for batch, session_ids in zip(work.batches, work.session_ids, strict=True):
            self._sessions.put({session_id: sessions[session_id] for session_id in session_ids}, batch.partition)
        if self._popular:
            self._popular.written()

    def _read(self, work: "_Work") -> tuple[dict[str, SessionTimeline], dict[str, UserTimeline], dict[str, int]] | None:
        """Sessions, users and positions of the batches, in one round trip; None if these are not the ones we wrote."""
        session_ids = set[str]().union(*work.session_ids)
        sessions, users = self._sessions.get(session_ids), self._users.get(work.of_user)
        cold = [session_id for session_id in session_ids if session_id not in sessions]
        cold_users = [user_id for user_id in work.of_user if user_id not in users]
        work.applied = Applied(hot=len(sessions), cold=len(cold))
        names = [batch.position_name for batch in work.batches]
        begun = self._rows.begin(
            names,
            [(SESSION_EVENTS, session_id) for session_id in cold],
            [(USER_HISTORY, user_id) for user_id in cold_users],
        )
        check_follows(work.batches, begun)
        positions = dict(zip(names, begun.positions, strict=True))
        if begun.rewrites != self._rewrites_seen:
            self._rewrites_seen = begun.rewrites
            if self._positions:
                self.forget_all()
                return None
        if any(self._positions.get(name, position) != position for name, position in positions.items()):
            self.forget(batch.partition for batch in work.batches)
            return None
        for session_id, fields in zip(cold, begun.rows, strict=True):
            sessions[session_id] = (
                SessionTimeline.from_fields(session_id, fields) if fields else SessionTimeline(session_id)
            )
        users |= {key: _user(key, *found) for key, found in zip(cold_users, begun.shared, strict=True)}
        return sessions, users, positions

    def _fold_batch(
        self,
        batch: PartitionBatch,
        entries_of_event: Sequence[Entries],
        timelines: dict[str, SessionTimeline],
        position: int,
        applied: Applied,
    ) -> None:
        new: list[tuple[int, Event]] = []
        for offset_and_event, entries in zip(batch.events, entries_of_event, strict=True):
            event = offset_and_event[1]
            if timelines[event.session_id].add(event, entries):
                new.append(offset_and_event)
            else:
                applied.repeated[event.event_type] += 1
        applied.new.update([event.event_type for _, event in new])
        if self._popular:
            self._popular.add(batch.partition, [event for offset, event in new if offset >= position])

    def _send_histories(self, work: "_Work", users: dict[str, UserTimeline]) -> Callable[[], None]:
        """What is returned waits for the store's answer, and leaves the work to be done again for others' rows."""
        for user_id, events in work.of_user.items():
            add = users[user_id].add
            for event, entries in events:
                add(event, entries)
        changed = [timeline for timeline in users.values() if timeline.dirty]
        revisions = [timeline.revision for timeline in changed]
        swapped = self._rows.send_swap(_dirty_rows(changed), revisions)

        def finish() -> None:
            with _timed(work.applied):
                answers = swapped()
            lost = {timeline.key for timeline, done in zip(changed, answers, strict=True) if not done}
            for timeline in changed:
                timeline.revision += 1
            self._users.put({key: timeline for key, timeline in users.items() if key not in lost}, 0)
            self._users.remove(lost)
            work.of_user = {user_id: work.of_user[user_id] for user_id in lost}

        return finish

    def _swap_again(self, work: "_Work") -> None:
        """Fold histories again that another consumer has changed in the meantime."""
        for _ in range(_ATTEMPTS):
            if not work.of_user:
                return
            user_ids = list(work.of_user)
            found = self._rows.read_revised([(USER_HISTORY, user_id) for user_id in user_ids])
            users = {user_id: _user(user_id, *row) for user_id, row in zip(user_ids, found, strict=True)}
            self._send_histories(work, users)()
        if work.of_user:
            raise OnlineStoreError("other consumers keep writing the same users' histories")


class _Work:
    """Batches on their way into the store."""

    def __init__(self, batches: Sequence[PartitionBatch], folds_history: bool) -> None:
        self.batches = batches
        self.entries = [entries_of([event for _, event in batch.events]) for batch in batches]
        """Of each batch's events."""
        self.session_ids = [{event.session_id for _, event in batch.events} for batch in batches]
        """Of each batch."""
        self.of_user: dict[str, list[tuple[Event, Entries]]] = {}
        """Events that are not in their user's history yet."""
        self.applied = Applied()
        if folds_history:
            for batch, all_entries in zip(batches, self.entries, strict=True):
                for (_, event), entries in zip(batch.events, all_entries, strict=True):
                    if event.user_id:
                        self.of_user.setdefault(event.user_id, []).append((event, entries))


def _user(user_id: str, revision: int, fields: Encoded | None) -> UserTimeline:
    timeline = UserTimeline.from_fields(user_id, fields) if fields else UserTimeline(user_id)
    timeline.revision = revision
    return timeline


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
