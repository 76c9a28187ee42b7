"""The fold, one event at a time: what `session.fold` defines, kept ready to be written to the online store.

`fold` on frozen sessions is the definition and serves a request; a `Timeline` is what a consumer keeps of a hot session
or user. Tests hold the two to the same bytes.
"""

from abc import ABC, abstractmethod
from bisect import bisect_left
from collections.abc import Sequence
from typing import Self

from feature_repo import wire_values
from feature_repo.packed_lists import TIMES, PackedLists
from feature_repo.redis_layout import decode_value
from feature_repo.schema import MAX_HISTORY_LENGTH, MAX_SESSION_LENGTH, Event, EventType
from feature_repo.views import SESSION_EVENTS, USER_HISTORY, FeatureType, View

_EVENT_TYPES = {event_type.value: event_type for event_type in EventType}
_TYPE_ENTRIES: dict[str, bytes] = {event_type: wire_values.string_entry(event_type.value) for event_type in EventType}

Order = tuple[int, str, str, str, str]
"""timestamp_ms, event_id, event_type, item_id, session_id: a total order of events."""

Entries = tuple[bytes, bytes, bytes, bytes, bytes]
"""What an event adds to each list of USER_HISTORY; SESSION_EVENTS has the first four of them."""


def entries_of(event: Event) -> Entries:
    """The event as it stands in lists: encoded once, though a session and a user keep it."""
    return _entries(event.timestamp_ms, event.event_id, event.event_type, event.item_id, event.session_id)


def _entries(timestamp_ms: int, event_id: str, event_type: str, item_id: str, session_id: str) -> Entries:
    string_entry = wire_values.string_entry
    return (
        string_entry(event_id),
        string_entry(item_id),
        _TYPE_ENTRIES[event_type],
        wire_values.varint(timestamp_ms),
        string_entry(session_id),
    )


class Timeline(ABC):
    """The newest `limit` events of one key in order, no event_id twice. Mutable; for one thread."""

    __slots__ = ("_by_id", "_columns", "_order", "_packed", "dirty", "expiry_set_at", "key", "revision")
    limit: int
    view: View
    lists: int
    """How many of the view's features are lists with an entry for each event; they come first."""

    def __init__(self, key: str, packed: PackedLists | None = None) -> None:
        self.key = key
        self.revision = 0
        """Writes so far, in views that several consumers write; 0 means that the store has no row."""
        self.expiry_set_at = 0.0
        """Reading of time.monotonic() when the row's expiry was last set; 0 means not yet."""
        self.dirty = False
        """Whether it differs from what was read or last written; whoever writes it resets this."""
        self._packed: PackedLists | None = packed or PackedLists.empty(self.lists)
        """All events, until one comes that is not the newest; until then there are none of the three below."""
        self._order: list[Order]
        self._by_id: dict[str, Order]
        self._columns: list[list[bytes]]
        """Encoded entries of each of the view's lists."""

    @classmethod
    def from_fields(cls, key: str, fields: Sequence[bytes | None]) -> Self:
        """From what `encoded` returned, read back from the store."""
        lists = fields[: cls.lists]
        packed = PackedLists.of(lists)
        timeline = cls(key, packed)
        if packed is None:
            timeline._decode(lists)
        return timeline

    def __len__(self) -> int:
        return len(self._order) if self._packed is None else len(self._packed)

    @property
    def timestamp_ms(self) -> int:
        """Time of the newest event."""
        return self._order[-1][0] if self._packed is None else self._packed.timestamp_ms

    def add(self, event: Event, entries: Entries | None = None) -> bool:
        """Fold one event in; whether it is new, and newer than the oldest of a full timeline.

        `entries` are those of the event, where the caller has them already.
        """
        if self._packed is not None:
            if self._packed.append(event.timestamp_ms, entries or entries_of(event), self.limit):
                self.dirty = True
                return True
            self._decode(self._packed.encoded())
        order = (event.timestamp_ms, event.event_id, event.event_type, event.item_id, event.session_id)
        known = self._by_id.get(event.event_id)
        if known is not None:
            if order > known:  # the same id with other contents: the later in order stays
                self._delete(bisect_left(self._order, known))
                self._insert(order)
            return False
        if len(self._order) == self.limit:
            if order < self._order[0]:
                return False
            self._delete(0)
        self._insert(order)
        return True

    def _encoded_lists(self) -> list[bytes]:
        """Values of the view's lists, as the online store keeps them."""
        if self._packed is not None:
            return self._packed.encoded()
        return [
            wire_values.int64_list(body) if place == TIMES else wire_values.string_list(body)
            for place, body in enumerate(map(b"".join, self._columns))
        ]

    def _insert(self, order: Order) -> None:
        self.dirty = True
        self._by_id[order[1]] = order
        if not self._order or order > self._order[-1]:
            self._put(len(self._order), order)
        else:
            self._put(bisect_left(self._order, order), order)

    def _put(self, at: int, order: Order) -> None:
        self._order.insert(at, order)
        for column, entry in zip(self._columns, _entries(*order), strict=False):
            column.insert(at, entry)

    def _delete(self, at: int) -> None:
        del self._by_id[self._order[at][1]], self._order[at]
        for column in self._columns:
            del column[at]

    @abstractmethod
    def encoded(self) -> list[bytes]:
        """Values in the order of the view's features, then the row's time, as the online store keeps them."""

    def _decode(self, lists: Sequence[bytes | None]) -> None:
        self._packed = None
        self._order, self._by_id = [], {}
        self._columns = [[] for _ in lists]
        event_ids, item_ids, types, times, *others = (
            decode_value(FeatureType.INT64_LIST if place == TIMES else FeatureType.STRING_LIST, raw)
            for place, raw in enumerate(lists)
        )
        session_ids = others[0] if others else [self.key] * len(times)
        columns = zip(times, event_ids, types, item_ids, session_ids, strict=True)
        for at, (time_ms, event_id, event_type, item_id, session_id) in enumerate(columns):
            order = (time_ms, event_id, _EVENT_TYPES[event_type], item_id, session_id)
            self._by_id[event_id] = order
            self._put(at, order)


class SessionTimeline(Timeline):
    """One session, as SESSION_EVENTS keeps it: with the user that the newest event to name one names."""

    __slots__ = ("_user", "_user_value")
    limit = MAX_SESSION_LENGTH
    lists = 4
    view = SESSION_EVENTS

    def __init__(self, key: str, packed: PackedLists | None = None) -> None:
        super().__init__(key, packed)
        self._user = (0, "")
        self._user_value = b""
        """The user's id, encoded."""

    @classmethod
    def from_fields(cls, key: str, fields: Sequence[bytes | None]) -> Self:
        """From what `encoded` returned, read back from the store."""
        timeline = super().from_fields(key, fields)
        user_id, seen_ms = (field or b"" for field in fields[cls.lists : cls.lists + 2])
        text, number = wire_values.string_text(user_id), wire_values.int64_number(seen_ms)
        if text is None or number is None:  # none, or as another writer lays it out
            text = decode_value(FeatureType.STRING, user_id) or ""
            number = decode_value(FeatureType.INT64, seen_ms) or 0
        if text:
            timeline._user, timeline._user_value = (number, text), wire_values.string(text)
        return timeline

    def add(self, event: Event, entries: Entries | None = None) -> bool:
        """Fold one event in; whether it is new, and newer than the oldest of a full timeline.

        `entries` are those of the event, where the caller has them already.
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
