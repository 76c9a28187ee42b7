"""A session's or user's events decoded, in order: what a timeline becomes when an event is not the newest."""

from bisect import bisect_left
from collections.abc import Iterable, Sequence

from feature_repo.online import wire_values
from feature_repo.online.redis_layout import decode_value
from feature_repo.schema import EVENT_TYPES, Event, EventType
from feature_repo.views import FeatureType

EVENT_IDS, TIMES = 0, 3
"""Places of these lists among a row's; all but the times are strings."""

Entries = tuple[bytes, bytes, bytes, bytes, bytes]
"""What an event adds to each list of USER_HISTORY; SESSION_EVENTS has the first four of them."""

_TYPE_ENTRIES: dict[str, bytes] = {event_type: wire_values.string_entry(event_type.value) for event_type in EventType}

_Order = tuple[int, str, str, str, str]
"""timestamp_ms, event_id, event_type, item_id, session_id: a total order of events."""


def entries_of(events: Sequence[Event]) -> list[Entries]:
    """Each event as it stands in lists: encoded once, though a session and a user keep it."""
    columns = _columns(
        [event.event_id for event in events],
        [event.item_id for event in events],
        [event.event_type for event in events],
        [event.timestamp_ms for event in events],
        [event.session_id for event in events],
    )
    return list(zip(*columns, strict=True))


class SortedEvents:
    """At most `limit` of them, no event_id twice."""

    __slots__ = ("_by_id", "_columns", "_limit", "_order")

    def __init__(self, key: str, lists: Sequence[bytes | None], limit: int) -> None:
        """From a row's lists as they are stored; where none is of session ids, all are of the session `key`."""
        event_ids, item_ids, types, times, *others = (
            decode_value(FeatureType.INT64_LIST if place == TIMES else FeatureType.STRING_LIST, raw)
            for place, raw in enumerate(lists)
        )
        session_ids = others[0] if others else [key] * len(times)
        types = [EVENT_TYPES[event_type] for event_type in types]
        self._limit = limit
        self._order: list[_Order] = list(zip(times, event_ids, types, item_ids, session_ids, strict=True))
        self._by_id = dict(zip(event_ids, self._order, strict=True))
        self._columns = _columns(event_ids, item_ids, types, times, session_ids)[: len(lists)]

    def __len__(self) -> int:
        return len(self._order)

    @property
    def timestamp_ms(self) -> int:
        """Time of the newest event."""
        return self._order[-1][0]

    def add(self, event: Event, entries: Entries) -> tuple[bool, bool]:
        """Fold one event in: whether it is new, and newer than the oldest of a full list; whether anything changed."""
        order = (event.timestamp_ms, event.event_id, event.event_type, event.item_id, event.session_id)
        known = self._by_id.get(event.event_id)
        if known is not None:
            if order <= known:
                return False, False
            self._delete(bisect_left(self._order, known))  # the same id with other contents: the later in order stays
        elif len(self._order) == self._limit:
            if order < self._order[0]:
                return False, False
            self._delete(0)
        at = bisect_left(self._order, order)
        self._order.insert(at, order)
        self._by_id[event.event_id] = order
        for column, entry in zip(self._columns, entries, strict=False):
            column.insert(at, entry)
        return known is None, True

    def encoded(self) -> list[bytes]:
        """The lists as they are stored."""
        return wire_values.lists(list(map(b"".join, self._columns)), TIMES)

    def _delete(self, at: int) -> None:
        del self._by_id[self._order[at][1]], self._order[at]
        for column in self._columns:
            del column[at]


def _columns(
    event_ids: Iterable[str],
    item_ids: Iterable[str],
    types: Iterable[EventType],
    times: Iterable[int],
    session_ids: Iterable[str],
) -> list[list[bytes]]:
    """The entries of each list."""
    return [
        wire_values.string_entries(event_ids),
        wire_values.string_entries(item_ids),
        [_TYPE_ENTRIES[event_type] for event_type in types],
        list(map(wire_values.varint, times)),
        wire_values.string_entries(session_ids),
    ]
