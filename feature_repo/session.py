"""The pure fold of events into a session, shared by streaming (into the store) and serving (on top of the store)."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from feature_repo.schema import MAX_HISTORY_LENGTH, MAX_SESSION_LENGTH, SESSION_GAP, Event, EventType

_GAP_MS = int(SESSION_GAP.total_seconds() * 1000)


@dataclass(frozen=True, slots=True)
class Session:
    """The events of one visit in event-time order, exactly as the online store keeps them.

    Its events carry neither `user_id` nor `attributes`: the user belongs to the session, attributes to the archive.
    """

    session_id: str
    user_id: str | None = None
    events: tuple[Event, ...] = ()
    """Ordered by (timestamp_ms, event_id), at most MAX_SESSION_LENGTH, no event_id twice."""
    user_seen_ms: int = 0
    """Time of the event that named `user_id`; the newest one decides. 0 while no event has named a user."""

    @property
    def timestamp_ms(self) -> int:
        """Time of the newest event in ms since the epoch; 0 for a session without events."""
        return self.events[-1].timestamp_ms if self.events else 0

    @property
    def visit(self) -> tuple[Event, ...]:
        """What a recommendation goes by: see `visit_of`."""
        return visit_of(self.events)


def visit_of(events: Sequence[Event]) -> tuple[Event, ...]:
    """The newest visit among events in event-time order: those after the last gap longer than SESSION_GAP.

    A remove_from_cart takes the add_to_cart it undoes with it, the newest earlier one of its item in the visit; neither
    says what the visitor wants next. The store keeps them all, so that a late event can still close a gap or a pair.
    """
    start = len(events) - 1
    while start > 0 and events[start].timestamp_ms - events[start - 1].timestamp_ms <= _GAP_MS:
        start -= 1
    visit: list[Event | None] = list(events[max(start, 0) :])
    in_cart: dict[str, list[int]] = {}
    for position, event in enumerate(events[max(start, 0) :]):
        if event.event_type is EventType.ADD_TO_CART:
            in_cart.setdefault(event.item_id, []).append(position)
        elif event.event_type is EventType.REMOVE_FROM_CART:
            visit[position] = None
            if entries := in_cart.get(event.item_id):
                visit[entries.pop()] = None
    return tuple(event for event in visit if event is not None)


def fold(session: Session | None, events: Iterable[Event], session_id: str | None = None) -> Session:
    """Merge events of one session into it.

    The result depends only on the set of events seen, not on their order, their batches, or repeats: an event_id seen
    twice counts once (should the two differ, the later in event time stays), and only the newest MAX_SESSION_LENGTH
    are kept. `session_id` is needed only where neither a session nor an event names it.

    Raises ValueError if an event belongs to another session.
    """
    new = list(events)
    session_id = session.session_id if session else session_id or _session_id_of(new)
    user = (session.user_seen_ms, session.user_id or "") if session else (0, "")
    for event in new:
        if event.session_id != session_id:
            raise ValueError(f"event {event.event_id!r} is of session {event.session_id!r}, not {session_id!r}")
        if event.user_id:
            user = max(user, (event.timestamp_ms, event.user_id))
    known = session.events if session else ()
    kept = _newest([*known, *map(_as_stored, new)], MAX_SESSION_LENGTH)
    return Session(session_id, user[1] or None, kept, user[0])


def history_of(events: Iterable[Event]) -> tuple[Event, ...]:
    """What the online store keeps of all events of one user, whatever their order and repeats: the newest, in order.

    They are at most MAX_HISTORY_LENGTH, over sessions and devices, and an event_id counts once, as in a session.
    """
    return _newest(events, MAX_HISTORY_LENGTH)


def session_order(event: Event) -> tuple[int, str, str, str, str]:
    """A total order of events: by their time, then by what else tells them apart."""
    return event.timestamp_ms, event.event_id, event.event_type, event.item_id, event.session_id


def _newest(events: Iterable[Event], limit: int) -> tuple[Event, ...]:
    by_id: dict[str, Event] = {}
    for event in events:
        seen = by_id.get(event.event_id)
        if seen is None or session_order(event) > session_order(seen):
            by_id[event.event_id] = event
    return tuple(sorted(by_id.values(), key=session_order)[-limit:])


def _as_stored(event: Event) -> Event:
    if event.user_id is None and not event.attributes:
        return event
    return Event(event.event_id, event.event_type, event.session_id, event.item_id, event.timestamp_ms)


def _session_id_of(events: list[Event]) -> str:
    if not events:
        raise ValueError("nothing to fold: no session and no event")
    return events[0].session_id
