"""The incremental fold ends in the very bytes of the plain fold's rows, whatever the order, repeats and restarts."""

import random

from hypothesis import given
from hypothesis import strategies as st

from feature_repo.online.redis_layout import ViewLayout
from feature_repo.schema import MAX_HISTORY_LENGTH, MAX_SESSION_LENGTH, Event, EventType
from feature_repo.session import fold, history_of
from feature_repo.views import SESSION_EVENTS, USER_HISTORY, history_to_row, session_to_row
from streaming.sessions.timeline import SessionTimeline, Timeline, UserTimeline

SESSION = ViewLayout(SESSION_EVENTS)
HISTORY = ViewLayout(USER_HISTORY)


def _events(sessions: str, most: int) -> st.SearchStrategy[list[Event]]:
    """Few different ids and times, so that repeats, ties and contradictions are common."""
    return st.lists(
        st.builds(
            Event,
            event_id=st.integers(0, most).map(str),
            event_type=st.sampled_from([EventType.VIEW, EventType.LIKE]),
            session_id=st.sampled_from(sessions),
            item_id=st.sampled_from(["a", "ü" * 100]),
            timestamp_ms=st.integers(1, 40) | st.integers(1_700_000_000_000, 1_700_000_000_040),
            user_id=st.sampled_from([None, "u1", "u2"]),
        ),
        min_size=1,
        max_size=2 * most,
    )


def _restarted(timeline: Timeline) -> Timeline:
    return type(timeline).from_fields(timeline.key, timeline.encoded())  # type: ignore[attr-defined, no-any-return]


@given(_events("s", 80), st.randoms(use_true_random=False), st.sets(st.integers(0, 200)))
def test_a_session_timeline_is_the_fold(events: list[Event], rng: random.Random, restarts: set[int]) -> None:
    arriving = events + rng.sample(events, len(events) // 2)
    rng.shuffle(arriving)
    timeline: Timeline = SessionTimeline("s")
    for number, event in enumerate(arriving):
        timeline.add(event)
        if number in restarts:
            timeline = _restarted(timeline)
    assert isinstance(timeline, SessionTimeline)
    assert timeline.encoded() == SESSION.encode(session_to_row(fold(None, events)))


@given(_events("xyz", 250), st.randoms(use_true_random=False), st.sets(st.integers(0, 500)))
def test_a_user_timeline_is_the_history(events: list[Event], rng: random.Random, restarts: set[int]) -> None:
    arriving = events + rng.sample(events, len(events) // 2)
    rng.shuffle(arriving)
    timeline: Timeline = UserTimeline("u")
    for number, event in enumerate(arriving):
        timeline.add(event)
        if number in restarts:
            timeline = _restarted(timeline)
    assert isinstance(timeline, UserTimeline)
    assert timeline.encoded() == HISTORY.encode(history_to_row("u", history_of(events)))


@given(st.integers(1, 210), st.integers(1, 30), st.sets(st.integers(0, 30)), st.sampled_from(["session", "user"]))
def test_a_stored_timeline_takes_newer_events_as_if_it_had_never_left(
    before: int, after: int, restarts: set[int], of: str
) -> None:
    kind: type[Timeline] = SessionTimeline if of == "session" else UserTimeline
    kept, stored = kind("s"), kind("s")
    for number in range(before + after):
        event = Event(
            f"{number}", EventType.VIEW, "s", f"{number}" * (number % 90), (1 << 5 * number.bit_length()) + number
        )
        assert kept.add(event)
        assert stored.add(event)
        if number >= before and number - before in restarts:
            stored = _restarted(stored)
            if number % 3 == 0:
                assert not stored.add(event)
        assert len(stored) == len(kept)
        assert stored.timestamp_ms == kept.timestamp_ms
    assert stored.encoded() == kept.encoded()


@given(st.integers(0, 2 * MAX_SESSION_LENGTH + 20), st.data())
def test_it_does_not_matter_how_often_a_full_timeline_is_asked_for(extra: int, data: st.DataObject) -> None:
    often, once = SessionTimeline("s"), SessionTimeline("s")
    length = MAX_SESSION_LENGTH + extra
    event_ids = [f"{number}" for number in range(length)]
    times = list(range(1, length + 1))
    # Perhaps one that has gone already, with its own time or as if it came now; perhaps one that is still there.
    for _ in range(2):
        event_ids.append(f"{data.draw(st.integers(0, length))}")
        times.append(data.draw(st.integers(1, 2 * length)))
    for event_id, timestamp_ms in zip(event_ids, times, strict=True):
        event = Event(event_id, EventType.VIEW, "s", f"item-{event_id}", timestamp_ms)
        assert often.add(event) == once.add(event)
        often.encoded()
        assert len(often) == len(once) <= MAX_SESSION_LENGTH
    assert often.encoded() == once.encoded()


@given(st.integers(1, MAX_HISTORY_LENGTH), st.data())
def test_a_stored_timeline_knows_its_events_by_their_ids(length: int, data: st.DataObject) -> None:
    kept = UserTimeline("u")
    for number in range(length):
        kept.add(Event(f"{number}", EventType.VIEW, "s", "item", number + 1))
    stored = _restarted(kept)
    later = Event(f"{data.draw(st.integers(0, length - 1))}", EventType.LIKE, "s", "item", length + 1)
    assert not kept.add(later)
    assert not stored.add(later)
    assert stored.encoded() == kept.encoded()


def test_a_row_that_another_writer_laid_out_differently_is_read_all_the_same() -> None:
    event = Event("e", EventType.VIEW, "s", "item", 1)
    timeline = SessionTimeline("s")
    timeline.add(event)
    fields = timeline.encoded()
    number_by_number = b"\x72\x02\x08\x01"  # repeated int64 without packing, which readers must accept
    read = SessionTimeline.from_fields("s", [*fields[:3], number_by_number, *fields[4:]])
    assert not read.add(event)
    assert read.encoded() == fields


@given(_events("s", 80))
def test_an_event_is_new_once(events: list[Event]) -> None:
    timeline = SessionTimeline("s")
    new = [event.event_id for event in events if timeline.add(event)]
    assert len(new) == len(set(new))
    timeline.dirty = False
    for event in events:
        assert not timeline.add(event)
    assert not timeline.dirty
