"""The demo learns from older sessions and replays the newest."""

import pytest

from feature_repo.schema import MAX_SESSION_LENGTH, Event, EventType
from nextclick.demo.split import label, split_newest
from runtime.errors import NextclickError


def session(number: int, length: int) -> list[Event]:
    return [
        Event(
            f"e{number:03}-{step:03}", EventType.VIEW, f"s{number}", f"i{step}", 1_000_000 * number + 1_000 * step + 1
        )
        for step in range(length)
    ]


def test_newest_sessions_are_replayed_oldest_of_them_first() -> None:
    events = [event for number in range(10) for event in session(number, 4)]
    split = split_newest(events, replayed_events=8)
    assert [events[0].session_id for events in split.replayed] == ["s8", "s9"]
    assert {event.session_id for event in split.history} == {f"s{number}" for number in range(8)}


def test_no_event_is_in_both_parts_and_history_is_in_time_order() -> None:
    events = [event for number in range(10) for event in session(number, 5)]
    split = split_newest(reversed(events), replayed_events=12)
    replayed = {event.event_id for session in split.replayed for event in session}
    assert replayed.isdisjoint(event.event_id for event in split.history)
    assert split.history == sorted(split.history, key=lambda event: event.timestamp_ms)


def test_a_short_newest_session_is_in_neither_part() -> None:
    split = split_newest([*session(1, 3), *session(2, 3), *session(3, 1)], replayed_events=3)
    assert [events[0].session_id for events in split.replayed] == ["s2"]
    assert {event.session_id for event in split.history} == {"s1"}


def test_a_long_session_is_replayed_only_as_far_as_it_is_kept() -> None:
    split = split_newest([*session(1, 3), *session(2, 3 * MAX_SESSION_LENGTH)], replayed_events=1)
    assert len(split.replayed[0]) == MAX_SESSION_LENGTH + 1


def test_too_little_data_is_one_clear_error() -> None:
    with pytest.raises(NextclickError, match="--replay-events"):
        split_newest(session(1, 5), replayed_events=100)


def test_labels_keep_event_order_and_part_runs() -> None:
    first, second = session(1, 2)
    assert label(first, "r1").event_id < label(second, "r1").event_id
    assert label(first, "r1").session_id != label(first, "r2").session_id
    assert label(first, "r1").item_id == first.item_id
