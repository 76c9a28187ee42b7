"""Training cuts visits as the gateway does, event for event."""

from itertools import pairwise

import pandas as pd
from hypothesis import given
from hypothesis import strategies as st

from feature_repo.archive.columns import events_to_table
from feature_repo.schema import SESSION_GAP, Event, EventType
from feature_repo.session import session_order, visit_of
from training.data.visits import cut_visits

GAP_MS = int(SESSION_GAP.total_seconds() * 1000)
TYPES = (EventType.ADD_TO_CART, EventType.REMOVE_FROM_CART, EventType.VIEW)
STEPS_MS = st.sampled_from((0, 1, 1000, GAP_MS - 1, GAP_MS, GAP_MS + 1, 3 * GAP_MS))
ACTIONS = st.tuples(STEPS_MS, st.sampled_from(TYPES), st.sampled_from("ab"), st.sampled_from(["s", "s/0", "t"]))


def events_of(actions: list[tuple[int, EventType, str, str]]) -> list[Event]:
    at, events = 1_700_000_000_000, []
    for number, (step, event_type, item_id, session_id) in enumerate(actions):
        at += step
        events.append(Event(f"e{number:02}", event_type, session_id, item_id, at))
    return sorted(events, key=lambda event: (event.session_id, *session_order(event)))


def frame(events: list[Event]) -> pd.DataFrame:
    return events_to_table(events).to_pandas()


def visits(events: list[Event]) -> dict[str, list[str]]:
    found = cut_visits(frame(events))
    return {visit: list(ids) for visit, ids in found.groupby("session_id", sort=False)["event_id"]}


@given(st.lists(ACTIONS, max_size=24))
def test_every_visit_is_what_the_gateway_saw_at_its_end(actions: list[tuple[int, EventType, str, str]]) -> None:
    events = events_of(actions)
    expected: dict[str, list[str]] = {}
    for session_id in sorted({event.session_id for event in events}):
        session = [event for event in events if event.session_id == session_id]
        ends = [
            place
            for place in range(1, len(session) + 1)
            if place == len(session) or session[place].timestamp_ms - session[place - 1].timestamp_ms > GAP_MS
        ]
        for number, end in enumerate(ends):
            if visit := visit_of(session[:end]):
                expected[f"{session_id}/{number}"] = [event.event_id for event in visit]
    assert visits(events) == expected


@given(st.lists(ACTIONS, min_size=1, max_size=16), st.data())
def test_a_session_cut_short_ends_in_the_gateways_visit(
    actions: list[tuple[int, EventType, str, str]], data: st.DataObject
) -> None:
    session = [event for event in events_of(actions) if event.session_id == "s"]
    prefix = session[: data.draw(st.integers(0, len(session)))]
    pauses = sum(after.timestamp_ms - before.timestamp_ms > GAP_MS for before, after in pairwise(prefix))
    expected = [event.event_id for event in visit_of(prefix)] if prefix else []
    assert visits(prefix).get(f"s/{pauses}", []) == expected


def test_a_pause_makes_a_second_visit_with_an_id_of_its_own() -> None:
    times = (0, GAP_MS, 2 * GAP_MS + 1)
    events = [Event(f"e{n}", EventType.VIEW, "s", "a", 1_700_000_000_000 + at) for n, at in enumerate(times)]
    assert visits(events) == {"s/0": ["e0", "e1"], "s/1": ["e2"]}


def test_no_events_are_no_visits() -> None:
    assert cut_visits(frame([])).empty
