"""Folds batches of events into the online store: sessions, popular items and user histories.

Sessions, popular items and the position in each partition are written in one transaction. So an event counts once that
comes again, after a crash or to another consumer. Histories go row by row: a user's sessions may lie in several
partitions, so other consumers write the same rows. A history that changed meanwhile is read and folded again.
"""

import time
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

from feature_repo.errors import OnlineStoreError
from feature_repo.online.redis_layout import Encoded
from feature_repo.online.redis_rows import RedisRows
from feature_repo.online.rows import Sending
from feature_repo.schema import Event
from feature_repo.views import SESSION_EVENTS, USER_HISTORY
from streaming.kafka.batches import check_starts
from streaming.sessions.batches import Applied, EventBatch
from streaming.sessions.hot_timelines import HotTimelines, KeptTimeline, dirty_rows
from streaming.sessions.popular_items import PopularItems
from streaming.sessions.sorted_events import Entries, entries_of
from streaming.sessions.timeline import SessionTimeline, UserTimeline
from streaming.settings import StreamingSettings

_FIGHT = "other consumers keep writing the same sessions: is CONSUMER_GROUP the same for all?"
_ATTEMPTS = 20
"""Tries of a batch against other writers of the same rows. More than a few mean that two consumers fight for good."""

Sessions = dict[str, KeptTimeline[SessionTimeline]]
Users = dict[str, KeptTimeline[UserTimeline]]


class OnlineFold:
    """Applies batches to the rows it is given, each batch whole or not at all. It is for one thread.

    If it `rewrites` what others may have folded long ago, it has them read their rows again.
    """

    def __init__(self, rows: RedisRows, settings: StreamingSettings, rewrites: bool = False) -> None:
        self._rows = rows
        self._rewrites = rewrites
        self._rewrites_seen = 0
        self._sessions: HotTimelines[SessionTimeline] = HotTimelines(settings.hot_events)
        self._users: HotTimelines[UserTimeline] = HotTimelines(settings.hot_events)
        self._popular = PopularItems(rows) if settings.fold_popular_items else None
        self._folds_history = settings.fold_user_history
        self._positions: dict[str, int] = {}

    def apply(self, batches: Sequence[EventBatch]) -> Applied:
        """Fold at most one batch of each partition into the store. What was applied before changes nothing.

        Raises OnlineStoreError. Then nothing is remembered that the store may not have, and the batches may come
        again. After a StoreBehindError, what the store lacks has to come before them.
        """
        return self.send(batches).wait()

    def send(self, batches: Sequence[EventBatch]) -> Sending[Applied]:
        """Do the same without waiting for the answer. It has to be asked for before anything else is done here.

        Only `forget_all` may come before: it gives up what was sent. Raises OnlineStoreError, as `wait` does.
        """
        work = _Work(batches, self._folds_history)
        return _SentWork(self._write(work), work)

    def check(self, batches: Sequence[EventBatch]) -> None:
        """Raise StoreBehindError where `apply` would, and do nothing else."""
        with self._forgetting():
            check_starts(batches, self._rows.begin([batch.position_name for batch in batches], []).positions)

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

    @contextmanager
    def _forgetting(self) -> Iterator[None]:
        try:
            yield
        except OnlineStoreError:
            self.forget_all()
            raise

    def _write(self, work: "_Work") -> Iterator[None]:
        """Take one batch into the store, step by step, and from the first step again if another consumer was faster.

        It stops at `yield`, when everything is sent. Whoever goes on with it wants the answer.
        """
        with self._forgetting():
            for _ in range(_ATTEMPTS):
                # 1. Read positions and cold rows, in one round trip.
                if (found := self._read(work)) is None:
                    continue
                # 2. Fold the events into sessions and popular items.
                self._fold(work, found)
                # 3. Send them with the positions, as one transaction. Fold histories while Redis works, and send those.
                committing = self._send_sessions(work, found)
                changed = self._fold_histories(work, found.users)
                swapping = self._send_histories(changed)
                yield
                # 4. Wait for both answers.
                with work.timed():
                    is_committed, swapped = committing.wait(), swapping.wait()
                # 5. Remember what the store has from now on.
                self._remember_histories(work, found.users, changed, swapped)
                if is_committed:
                    self._remember_sessions(work, found)
                    self._write_lost_histories(work)
                    return
                self.forget(batch.partition for batch in work.batches)
            raise OnlineStoreError(_FIGHT)

    def _read(self, work: "_Work") -> "_Found | None":
        """Return what the batch needs, or None if what was remembered is old, since others have written meanwhile."""
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
        check_starts(work.batches, begun.positions)
        positions = dict(zip(names, begun.positions, strict=True))
        if begun.rewrites != self._rewrites_seen:
            self._rewrites_seen = begun.rewrites
            if self._positions:
                self.forget_all()
                return None
        if any(self._positions.get(name, position) != position for name, position in positions.items()):
            self.forget(batch.partition for batch in work.batches)
            return None
        sessions |= {key: _session(key, fields) for key, fields in zip(cold, begun.rows, strict=True)}
        users |= {key: _user(key, *found) for key, found in zip(cold_users, begun.shared, strict=True)}
        return _Found(sessions, users, positions)

    def _fold(self, work: "_Work", found: "_Found") -> None:
        """An event that is new to its session counts towards popular items, unless the store has counted it before."""
        applied, sessions, popular = work.applied, found.sessions, self._popular
        if popular:
            popular.load(work.batches)
        for batch, entries_of_event in zip(work.batches, work.entries, strict=True):
            new: list[tuple[int, Event]] = []
            for offset_and_event, entries in zip(batch.events, entries_of_event, strict=True):
                event = offset_and_event[1]
                if sessions[event.session_id].timeline.add(event, entries):
                    new.append(offset_and_event)
                else:
                    applied.repeated[event.event_type] += 1
            applied.new.update([event.event_type for _, event in new])
            position = found.positions[batch.position_name]
            if popular:
                popular.add(batch.partition, [event for offset, event in new if offset >= position])
            found.positions[batch.position_name] = max(position, batch.next_offset)

    def _send_sessions(self, work: "_Work", found: "_Found") -> Sending[bool]:
        rows = dirty_rows(found.sessions.values())
        rows += self._popular.dirty_rows() if self._popular else []
        return self._rows.send_commit(found.positions, rows, is_rewrite=self._rewrites)

    def _remember_sessions(self, work: "_Work", found: "_Found") -> None:
        self._positions |= found.positions
        self._rewrites_seen += self._rewrites
        for batch, session_ids in zip(work.batches, work.session_ids, strict=True):
            self._sessions.put({session_id: found.sessions[session_id] for session_id in session_ids}, batch.partition)
        if self._popular:
            self._popular.written()

    def _fold_histories(self, work: "_Work", users: Users) -> list[KeptTimeline[UserTimeline]]:
        """Return those that have changed. They may be written though sessions are refused: a repeat changes nothing."""
        for user_id, events in work.of_user.items():
            add = users[user_id].timeline.add
            for event, entries in events:
                add(event, entries)
        return [kept for kept in users.values() if kept.timeline.dirty]

    def _send_histories(self, changed: Sequence[KeptTimeline[UserTimeline]]) -> Sending[list[bool]]:
        return self._rows.send_swap(dirty_rows(changed), [kept.revision for kept in changed])

    def _remember_histories(
        self, work: "_Work", users: Users, changed: Sequence[KeptTimeline[UserTimeline]], swapped: Sequence[bool]
    ) -> None:
        """What another consumer has changed in the meantime is forgotten, and its events are still to be folded."""
        lost = {kept.timeline.key for kept, done in zip(changed, swapped, strict=True) if not done}
        for kept in changed:
            kept.revision += 1
        self._users.put(users, 0)
        self._users.remove(lost)
        work.of_user = {user_id: work.of_user[user_id] for user_id in lost}

    def _write_lost_histories(self, work: "_Work") -> None:
        """Fold those again that another consumer has changed in the meantime."""
        for _ in range(_ATTEMPTS):
            if not work.of_user:
                return
            user_ids = list(work.of_user)
            rows = self._rows.read_revised([(USER_HISTORY, user_id) for user_id in user_ids])
            users = {user_id: _user(user_id, *row) for user_id, row in zip(user_ids, rows, strict=True)}
            changed = self._fold_histories(work, users)
            with work.timed():
                swapped = self._send_histories(changed).wait()
            self._remember_histories(work, users, changed, swapped)
        if work.of_user:
            raise OnlineStoreError("other consumers keep writing the same users' histories")


class _Found(NamedTuple):
    """What a batch is folded on."""

    sessions: Sessions
    users: Users
    positions: dict[str, int]
    """How far the store has come in each partition, by its name. Once the batch is folded, how far it will come."""


class _Work:
    """Batches on their way into the store."""

    def __init__(self, batches: Sequence[EventBatch], folds_history: bool) -> None:
        self.batches = batches
        self.entries = [entries_of([event for _, event in batch.events]) for batch in batches]
        """Of each batch's events."""
        self.session_ids = [{event.session_id for _, event in batch.events} for batch in batches]
        """Of each batch."""
        self.of_user: dict[str, list[tuple[Event, Entries]]] = defaultdict(list)
        """Events that are not in their user's history yet."""
        self.applied = Applied()
        if folds_history:
            for batch, all_entries in zip(batches, self.entries, strict=True):
                for (_, event), entries in zip(batch.events, all_entries, strict=True):
                    if event.user_id:
                        self.of_user[event.user_id].append((event, entries))

    @contextmanager
    def timed(self) -> Iterator[None]:
        """Count the block as waiting for the store."""
        started = time.perf_counter()
        yield
        self.applied.write_seconds += time.perf_counter() - started


class _SentWork:
    """A batch whose steps were taken as far as they go without waiting for the store's answer."""

    def __init__(self, steps: Iterator[None], work: _Work) -> None:
        self._steps = steps
        self._work = work
        next(steps)

    def wait(self) -> Applied:
        """See Sending."""
        for _ in self._steps:
            """Another consumer was faster, and all is sent again."""
        return self._work.applied


def _session(session_id: str, fields: Encoded | None) -> KeptTimeline[SessionTimeline]:
    return KeptTimeline(SessionTimeline.from_fields(session_id, fields) if fields else SessionTimeline(session_id))


def _user(user_id: str, revision: int, fields: Encoded | None) -> KeptTimeline[UserTimeline]:
    return KeptTimeline(UserTimeline.from_fields(user_id, fields) if fields else UserTimeline(user_id), revision)
