"""The consumer's memory of sessions stays small and forgets what others may change."""

from feature_repo.timeline import SessionTimeline
from streaming.hot_timelines import HotTimelines


def _filled(capacity: int, names: str) -> HotTimelines[SessionTimeline]:
    hot: HotTimelines[SessionTimeline] = HotTimelines(capacity)
    for partition, name in enumerate(names):
        hot.put({name: SessionTimeline(name)}, partition)
    return hot


def test_the_least_recently_used_leaves_first() -> None:
    hot = _filled(3, "abc")
    again, new = SessionTimeline("a"), SessionTimeline("d")
    hot.put({"a": again}, 0)
    hot.put({"d": new}, 3)
    assert len(hot) == 3
    known = hot.get("abcd")
    assert list(known) == ["a", "c", "d"]
    assert known["a"] is again


def test_a_partition_that_is_taken_away_is_forgotten() -> None:
    hot = _filled(10, "abc")
    hot.drop({0, 2})
    assert list(hot.get("abc")) == ["b"]
    hot.remove("bx")
    assert len(hot) == 0
