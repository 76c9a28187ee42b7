"""Folds one event at a time into a session or a user's history, which are kept ready to be written.

`fold` and `history_of` in `feature_repo/session.py` define the result; tests hold a `Timeline` to the same bytes.

Nearly every event is newer than all that its session or user has done. So a timeline is the very bytes of its row, and
such an event is appended to them. Decoding hundreds of events, or keeping them as objects, takes many times as long as
moving their bytes. The first event that is out of order turns a timeline into `SortedEvents`.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from operator import add
from typing import Self

from feature_repo.online import wire_values
from feature_repo.online.redis_layout import decode_value
from feature_repo.schema import MAX_HISTORY_LENGTH, MAX_SESSION_LENGTH, Event
from feature_repo.views import SESSION_EVENTS, USER_HISTORY, FeatureType, View
from streaming.sessions.sorted_events import EVENT_IDS, TIMES, Entries, SortedEvents, entries_of


class Timeline(ABC):
    """The newest `limit` events of one key in order, no event_id twice. Mutable; for one thread."""

    __slots__ = ("_bodies", "_length", "_newest_ms", "_sorted", "dirty", "key")
    limit: int
    view: View
    lists: int
    """How many of the view's features are lists that have an entry for each event. They come first."""

    def __init__(self, key: str) -> None:
        self.key = key
        self.dirty = False
        """Whether it differs from what was read or last written. Whoever writes it resets this."""
        self._bodies = [b""] * self.lists
        """The entries of each of the view's lists, one after the other, without the message around them."""
        self._length = 0
        """Entries in each list. They may be more than `limit` until they are asked for, since dropping an entry moves
        all that come after it, whether one goes or many."""
        self._newest_ms = -1
        self._sorted: SortedEvents | None = None
        """All events, in place of the three fields above, once one came that was not the newest."""

    @classmethod
    def from_fields(cls, key: str, fields: Sequence[bytes | None]) -> Self:
        """Make one of what `encoded` returned, which was read back from the store."""
        timeline = cls(key)
        lists = fields[: cls.lists]
        bodies = wire_values.list_bodies(lists, TIMES)
        if bodies is None:  # another writer of the store has laid them out
            timeline._sorted = SortedEvents(key, lists, cls.limit)
        else:
            times = bodies[TIMES]
            timeline._bodies = bodies
            timeline._length, timeline._newest_ms = wire_values.count_varints(times), wire_values.last_varint(times)
        return timeline

    def __len__(self) -> int:
        return min(self._length, self.limit) if self._sorted is None else len(self._sorted)

    @property
    def timestamp_ms(self) -> int:
        """Time of the newest event."""
        return self._newest_ms if self._sorted is None else self._sorted.timestamp_ms

    def add(self, event: Event, entries: Entries | None = None) -> bool:
        """Fold one event in. It is True if the event is new, and newer than the oldest of a full timeline.

        `entries` are those of the event, if the caller has them already.
        """
        if entries is None:
            (entries,) = entries_of([event])
        if self._sorted is None:
            bodies, timestamp_ms = self._bodies, event.timestamp_ms
            if timestamp_ms > self._newest_ms and entries[EVENT_IDS] not in bodies[EVENT_IDS]:
                if self._length == 2 * self.limit:
                    bodies = self._within_limit()
                self._length += 1
                self._bodies = list(map(add, bodies, entries))
                self._newest_ms = timestamp_ms
                self.dirty = True
                return True
            self._sorted = SortedEvents(self.key, self._encoded_lists(), self.limit)
        is_new, has_changed = self._sorted.add(event, entries)
        self.dirty |= has_changed
        return is_new

    def _encoded_lists(self) -> list[bytes]:
        """Values of the view's lists, as the online store keeps them."""
        return wire_values.lists(self._within_limit(), TIMES) if self._sorted is None else self._sorted.encoded()

    def _within_limit(self) -> list[bytes]:
        """The bodies once the oldest entries beyond the limit have gone."""
        if (extra := self._length - self.limit) > 0:
            self._bodies = [
                body[
                    wire_values.varints_size(body, extra) if place == TIMES else wire_values.entries_size(body, extra) :
                ]
                for place, body in enumerate(self._bodies)
            ]
            self._length = self.limit
        return self._bodies

    @abstractmethod
    def encoded(self) -> list[bytes]:
        """Values in the order of the view's features, then the row's time, as the online store keeps them."""


class SessionTimeline(Timeline):
    """One session, as SESSION_EVENTS keeps it. Its user is the one of the newest event that names a user."""

    __slots__ = ("_user", "_user_value")
    limit = MAX_SESSION_LENGTH
    lists = 4
    view = SESSION_EVENTS

    def __init__(self, key: str) -> None:
        super().__init__(key)
        self._user = (0, "")
        self._user_value = b""
        """The user's id, encoded."""

    @classmethod
    def from_fields(cls, key: str, fields: Sequence[bytes | None]) -> Self:
        """Make one of what `encoded` returned, which was read back from the store."""
        timeline = super().from_fields(key, fields)
        user_id, seen_ms = (field or b"" for field in fields[cls.lists : cls.lists + 2])
        text, number = wire_values.string_text(user_id), wire_values.int64_number(seen_ms)
        if text is None or number is None:  # there is none, or another writer has laid it out
            text = decode_value(FeatureType.STRING, user_id) or ""
            number = decode_value(FeatureType.INT64, seen_ms) or 0
            user_id = wire_values.string(text)
        if text:
            timeline._user, timeline._user_value = (number, text), user_id
        return timeline

    def add(self, event: Event, entries: Entries | None = None) -> bool:
        """Fold one event in. It is True if the event is new, and newer than the oldest of a full timeline.

        `entries` are those of the event, if the caller has them already.
        """
        user_id = event.user_id
        if user_id and (seen := (event.timestamp_ms, user_id)) > self._user:
            if user_id != self._user[1]:
                self._user_value = wire_values.string(user_id)
            self._user = seen
            self.dirty = True
        return Timeline.add(self, event, entries)

    def encoded(self) -> list[bytes]:
        """Values in the order of the view's features, then the row's time, as the online store keeps them."""
        user = (self._user_value, wire_values.int64(self._user[0]))
        return [*self._encoded_lists(), *user, wire_values.timestamp(self.timestamp_ms)]


class UserTimeline(Timeline):
    """One user's history over sessions and devices, as USER_HISTORY keeps it."""

    __slots__ = ()
    limit = MAX_HISTORY_LENGTH
    lists = 5
    view = USER_HISTORY

    def encoded(self) -> list[bytes]:
        """Values in the order of the view's features, then the row's time, as the online store keeps them."""
        return [*self._encoded_lists(), wire_values.timestamp(self.timestamp_ms)]
