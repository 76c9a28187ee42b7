"""The consumer's memory of sessions stays small and forgets what others may change."""

from feature_repo.session import Session
from streaming.hot_sessions import HotSessions


def _filled(capacity: int, names: str) -> HotSessions:
    hot = HotSessions(capacity)
    for partition, name in enumerate(names):
        hot.put([Session(name)], {name: partition})
    return hot


def test_the_least_recently_used_leaves_first() -> None:
    hot = _filled(3, "abc")
    hot.put([Session("a", "user")], {"a": 0})
    hot.put([Session("d")], {"d": 3})
    assert len(hot) == 3
    assert hot.get("abcd") == {"a": Session("a", "user"), "c": Session("c"), "d": Session("d")}


def test_a_partition_that_is_taken_away_is_forgotten() -> None:
    hot = _filled(10, "abc")
    hot.drop({0, 2})
    assert hot.get("abc") == {"b": Session("b")}
