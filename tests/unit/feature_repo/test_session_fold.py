"""The fold depends on the set of events alone: not on their order, their repeats, or where batches are cut."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from feature_repo.schema import MAX_HISTORY_LENGTH, MAX_SESSION_LENGTH, Event, EventType
from feature_repo.session import Session, fold, history_of
from feature_repo.views import history_from_row, history_to_row

# Few different ids and times, so that repeats and ties are common.
EVENTS = st.lists(
    st.builds(
        Event,
        event_id=st.integers(0, 80).map(str),
        event_type=st.sampled_from(EventType),
        session_id=st.just("s"),
        item_id=st.sampled_from("abc"),
        timestamp_ms=st.integers(1, 60),
        user_id=st.sampled_from([None, None, "u1", "u2"]),
        attributes=st.just({"source": "web"}),
    ),
    min_size=1,
    max_size=150,
)


def _view(number: int, timestamp_ms: int, user_id: str | None = None) -> Event:
    return Event(f"e{number}", EventType.VIEW, "s", f"i{number}", timestamp_ms, user_id)


@given(EVENTS, st.randoms(use_true_random=False), st.integers(1, 40))
def test_order_repeats_and_batches_do_not_matter(events: list[Event], rng: random.Random, batch: int) -> None:
    shuffled = events + rng.sample(events, len(events) // 2)
    rng.shuffle(shuffled)
    session = None
    for start in range(0, len(shuffled), batch):
        session = fold(session, shuffled[start : start + batch])
    assert session == fold(None, events)


@given(EVENTS)
def test_a_replay_changes_nothing(events: list[Event]) -> None:
    session = fold(None, events)
    assert fold(session, events) == session


@given(EVENTS)
def test_a_session_is_ordered_short_and_without_repeats(events: list[Event]) -> None:
    folded = fold(None, events).events
    order = [(event.timestamp_ms, event.event_id) for event in folded]
    assert order == sorted(order)
    assert len(folded) == min(MAX_SESSION_LENGTH, len({event.event_id for event in events}))
    assert len({event.event_id for event in folded}) == len(folded)


def test_the_newest_events_are_kept() -> None:
    events = [_view(number, 1000 + number) for number in range(MAX_SESSION_LENGTH + 3)]
    assert list(fold(None, reversed(events)).events) == events[3:]


def test_a_history_is_the_newest_events_over_sessions_each_id_once() -> None:
    events = [
        Event(f"e{n}", EventType.VIEW, f"s{n % 3}", f"i{n}", 1000 + n, "u") for n in range(MAX_HISTORY_LENGTH + 3)
    ]
    late, later = (Event("e9", EventType.LIKE, "s0", "i", 1000 + at, "u") for at in (8, 500))
    history = history_of([*reversed(events), *events, late, later])
    assert list(history) == [*events[3:9], *events[10:], later]
    assert history_from_row(history_to_row("u", history)) == list(history)


def test_a_late_event_takes_its_place_in_time() -> None:
    session = fold(fold(None, [_view(1, 10), _view(3, 30)]), [_view(2, 20)])
    assert [event.event_id for event in session.events] == ["e1", "e2", "e3"]
    assert session.timestamp_ms == 30


def test_the_newest_event_that_names_a_user_decides_even_after_it_was_dropped() -> None:
    session = fold(None, [_view(0, 5, "guest"), _view(1, 10, "known")])
    later = [_view(number, 100 + number) for number in range(2, 2 + MAX_SESSION_LENGTH)]
    session = fold(session, later)
    assert session.user_id == "known"
    assert fold(session, [_view(99, 7, "guest")]).user_id == "known"


def test_events_hold_what_the_store_holds() -> None:
    event = Event("e", EventType.LIKE, "s", "i", 1, "u", {"page": 2})
    assert fold(None, [event]) == Session("s", "u", (Event("e", EventType.LIKE, "s", "i", 1),), 1)


def test_an_event_of_another_session_is_refused() -> None:
    with pytest.raises(ValueError, match="is of session 'other', not 's'"):
        fold(Session("s"), [Event("e", EventType.VIEW, "other", "i", 1)])


def test_nothing_to_fold_needs_a_session() -> None:
    assert fold(Session("s"), []) == Session("s")
    assert fold(None, [], session_id="s") == Session("s")
    with pytest.raises(ValueError, match="nothing to fold"):
        fold(None, [])
