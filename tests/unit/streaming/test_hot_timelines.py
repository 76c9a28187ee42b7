"""The consumer's memory of sessions stays small and forgets what others may change."""

from feature_repo.schema import Event, EventType
from streaming.sessions.hot_timelines import HotTimelines, KeptTimeline
from streaming.sessions.timeline import SessionTimeline


def _session(name: str, events: int) -> KeptTimeline[SessionTimeline]:
    timeline = SessionTimeline(name)
    for number in range(events):
        timeline.add(Event(f"{name}{number}", EventType.VIEW, name, "item", number + 1))
    return KeptTimeline(timeline)


def _filled(capacity: int, names: str, events: int = 1) -> HotTimelines[SessionTimeline]:
    hot: HotTimelines[SessionTimeline] = HotTimelines(capacity)
    for partition, name in enumerate(names):
        hot.put({name: _session(name, events)}, partition)
    return hot


def test_the_least_recently_used_leaves_first() -> None:
    hot = _filled(3, "abc")
    again, new = _session("a", 1), _session("d", 1)
    hot.put({"a": again}, 0)
    hot.put({"d": new}, 3)
    assert len(hot) == 3
    known = hot.get("abcd")
    assert list(known) == ["a", "c", "d"]
    assert known["a"] is again


def test_it_is_events_that_are_bounded_also_of_sessions_that_grow() -> None:
    hot = _filled(10, "abc", events=3)
    grown = hot.get("a")["a"]
    for number in range(3, 7):
        grown.timeline.add(Event(f"a{number}", EventType.VIEW, "a", "item", number + 1))
    hot.put({"a": grown}, 0)
    assert list(hot.get("abc")) == ["a", "c"]
    hot.put({"d": _session("d", 11)}, 3)
    assert len(hot) == 0


def test_a_partition_that_is_taken_away_is_forgotten() -> None:
    hot = _filled(3, "abc")
    hot.drop({0, 2})
    assert list(hot.get("abc")) == ["b"]
    hot.put({"d": _session("d", 2)}, 3)
    assert list(hot.get("abcd")) == ["b", "d"]
    hot.remove("bx")
    hot.clear()
    assert len(hot) == 0
