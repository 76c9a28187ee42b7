"""The fold, one event at a time: what `session.fold` defines, kept ready to be written to the online store.

`fold` on frozen sessions is the definition and serves a request; a `Timeline` is what a consumer keeps of a hot session
or user. Tests hold the two to the same bytes.
"""

from abc import ABC, abstractmethod
from bisect import bisect_left
from collections.abc import Sequence
from typing import Self

from feature_repo import wire_values
from feature_repo.redis_layout import decode_value
from feature_repo.schema import MAX_HISTORY_LENGTH, MAX_SESSION_LENGTH, Event, EventType
from feature_repo.views import SESSION_EVENTS, USER_HISTORY, FeatureType, View

_EVENT_TYPES = {event_type.value: event_type for event_type in EventType}
_TYPE_ENTRIES: dict[str, bytes] = {event_type: wire_values.string_entry(event_type.value) for event_type in EventType}

Order = tuple[int, str, str, str, str]
"""timestamp_ms, event_id, event_type, item_id, session_id: a total order of events."""


class Timeline(ABC):
    """The newest `limit` events of one key in order, no event_id twice. Mutable; for one thread."""

    __slots__ = (
        "_by_id",
        "_event_ids",
        "_item_ids",
        "_order",
        "_times",
        "_types",
        "dirty",
        "expiry_set_at",
        "key",
        "revision",
    )
    limit: int
    view: View

    def __init__(self, key: str) -> None:
        self.key = key
        self.revision = 0
        """Writes so far, in views that several consumers write; 0 means that the store has no row."""
        self.expiry_set_at = 0.0
        """Reading of time.monotonic() when the row's expiry was last set; 0 means not yet."""
        self.dirty = False
        """Whether it differs from what was read or last written; whoever writes it resets this."""
        self._order: list[Order] = []
        self._by_id: dict[str, Order] = {}
        self._event_ids: list[bytes] = []
        self._item_ids: list[bytes] = []
        self._types: list[bytes] = []
        self._times: list[bytes] = []

    def __len__(self) -> int:
        return len(self._order)

    @property
    def timestamp_ms(self) -> int:
        """Time of the newest event."""
        return self._order[-1][0]

    def add(self, event: Event) -> bool:
        """Fold one event in; whether it is new, and newer than the oldest of a full timeline."""
        event_id = event.event_id
        order = (event.timestamp_ms, event_id, event.event_type, event.item_id, event.session_id)
        known = self._by_id.get(event_id)
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

    def _insert(self, order: Order) -> None:
        self.dirty = True
        self._by_id[order[1]] = order
        if not self._order or order > self._order[-1]:
            self._put(len(self._order), order)
        else:
            self._put(bisect_left(self._order, order), order)

    def _put(self, at: int, order: Order) -> None:
        self._order.insert(at, order)
        self._event_ids.insert(at, wire_values.string_entry(order[1]))
        self._item_ids.insert(at, wire_values.string_entry(order[3]))
        self._types.insert(at, _TYPE_ENTRIES[order[2]])
        self._times.insert(at, wire_values.varint(order[0]))

    def _delete(self, at: int) -> None:
        del self._by_id[self._order[at][1]]
        del self._order[at], self._event_ids[at], self._item_ids[at], self._types[at], self._times[at]

    @abstractmethod
    def encoded(self) -> list[bytes]:
        """Values in the order of the view's features, then the row's time, as the online store keeps them."""

    def _encoded_lists(self) -> list[bytes]:
        return [
            wire_values.string_list(self._event_ids),
            wire_values.string_list(self._item_ids),
            wire_values.string_list(self._types),
            wire_values.int64_list(self._times),
        ]

    def _encoded_time(self) -> bytes:
        return wire_values.timestamp(self._order[-1][0])

    def _load(self, fields: Sequence[bytes | None], session_ids: Sequence[str]) -> None:
        event_ids, item_ids, types = (decode_value(FeatureType.STRING_LIST, raw) for raw in fields[:3])
        times = decode_value(FeatureType.INT64_LIST, fields[3])
        columns = zip(times, event_ids, types, item_ids, session_ids, strict=True)
        for at, (time_ms, event_id, event_type, item_id, session_id) in enumerate(columns):
            order = (time_ms, event_id, _EVENT_TYPES[event_type], item_id, session_id)
            self._by_id[event_id] = order
            self._put(at, order)


class SessionTimeline(Timeline):
    """One session, as SESSION_EVENTS keeps it: with the user that the newest event to name one names."""

    __slots__ = ("_user",)
    limit = MAX_SESSION_LENGTH
    view = SESSION_EVENTS

    def __init__(self, key: str) -> None:
        super().__init__(key)
        self._user = (0, "")

    @classmethod
    def from_fields(cls, key: str, fields: Sequence[bytes | None]) -> Self:
        """From what `encoded` returned, read back from the store."""
        timeline = cls(key)
        timeline._load(fields, [key] * len(decode_value(FeatureType.INT64_LIST, fields[3])))
        user_id = decode_value(FeatureType.STRING, fields[4])
        timeline._user = (decode_value(FeatureType.INT64, fields[5]) or 0, user_id or "")
        return timeline

    def add(self, event: Event) -> bool:
        """Fold one event in; whether it is new, and newer than the oldest of a full timeline."""
        if event.user_id and (user := (event.timestamp_ms, event.user_id)) > self._user:
            self._user = user
            self.dirty = True
        return super().add(event)

    def encoded(self) -> list[bytes]:
        """Values in the order of the view's features, then the row's time, as the online store keeps them."""
        seen_ms, user_id = self._user
        user = [wire_values.string(user_id or None), wire_values.int64(seen_ms)]
        return [*self._encoded_lists(), *user, self._encoded_time()]


class UserTimeline(Timeline):
    """One user's history over sessions and devices, as USER_HISTORY keeps it."""

    __slots__ = ("_session_ids",)
    limit = MAX_HISTORY_LENGTH
    view = USER_HISTORY

    def __init__(self, key: str) -> None:
        super().__init__(key)
        self._session_ids: list[bytes] = []

    def _put(self, at: int, order: Order) -> None:
        super()._put(at, order)
        self._session_ids.insert(at, wire_values.string_entry(order[4]))

    def _delete(self, at: int) -> None:
        super()._delete(at)
        del self._session_ids[at]

    @classmethod
    def from_fields(cls, key: str, fields: Sequence[bytes | None]) -> Self:
        """From what `encoded` returned, read back from the store."""
        timeline = cls(key)
        timeline._load(fields, decode_value(FeatureType.STRING_LIST, fields[4]))
        return timeline

    def encoded(self) -> list[bytes]:
        """Values in the order of the view's features, then the row's time, as the online store keeps them."""
        return [*self._encoded_lists(), wire_values.string_list(self._session_ids), self._encoded_time()]
