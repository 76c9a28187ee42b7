"""Splits a data set by time: older sessions are history to learn from, the newest are replayed live."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

from msgspec import structs

from feature_repo.schema import MAX_SESSION_LENGTH, Event
from runtime.errors import NextclickError

MIN_REPLAYED_LENGTH = 2
"""A session of one event has no next item to predict."""


@dataclass(frozen=True, slots=True)
class Split:
    """Events of the older sessions in event-time order, and the newest sessions, oldest of them first."""

    history: list[Event]
    replayed: list[list[Event]]


def split_newest(events: Iterable[Event], replayed_events: int) -> Split:
    """Hold out the newest sessions by start time until they hold `replayed_events` events.

    Sessions that are too short to replay stay out of both parts when they start as late, so that nothing newer than the
    first replayed session's start is learnt from, except the rest of sessions that were then under way.
    """
    sessions: dict[str, list[Event]] = defaultdict(list)
    for event in events:
        sessions[event.session_id].append(event)
    newest_first = sorted(sessions.values(), key=lambda session: session[0].timestamp_ms, reverse=True)
    replayed: list[list[Event]] = []
    held_out = 0
    count = 0
    while newest_first[held_out:] and count < replayed_events:
        session = newest_first[held_out][: MAX_SESSION_LENGTH + 1]
        held_out += 1
        if len(session) >= MIN_REPLAYED_LENGTH:
            replayed.append(session)
            count += len(session)
    history = [event for session in newest_first[held_out:] for event in session]
    if not history or not replayed:
        raise NextclickError(
            f"{len(sessions)} sessions are too few to hold {replayed_events} events out: give more data, "
            "or a smaller --replay-events"
        )
    history.sort(key=lambda event: (event.timestamp_ms, event.event_id))
    return Split(history, replayed[::-1])


def label(event: Event, run: str) -> Event:
    """The event under ids of this run, so that a second demo on the same stack meets no session of the first."""
    return structs.replace(event, event_id=f"{run}-{event.event_id}", session_id=f"{run}-{event.session_id}")
