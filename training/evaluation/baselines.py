"""What any model must beat: the popular items, and the items that followed the last one."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Protocol, Self


class Recommender(Protocol):
    """Answers a session, given as its item ids in order, with the ids it thinks come next."""

    def recommend(self, history: Sequence[str], k: int, exclude_seen: bool) -> list[str]:
        """At most `k` different ids, best first; none of the history's when `exclude_seen`."""
        ...


class Popularity:
    """The items with most events, whatever the session; ties in order of their id."""

    def __init__(self, ranked: list[str]) -> None:
        self.ranked = ranked

    @classmethod
    def fit(cls, sessions: Iterable[Sequence[str]]) -> Self:
        """Count the events of sessions given as item ids."""
        counts = Counter(item_id for session in sessions for item_id in session)
        return cls(sorted(counts, key=lambda item_id: (-counts[item_id], item_id)))

    def recommend(self, history: Sequence[str], k: int, exclude_seen: bool) -> list[str]:
        return _first(self.ranked, k, set(history) if exclude_seen else set())


class CoVisitation:
    """The items that most often came right after the session's last item; ties, and what is missing, by popularity."""

    def __init__(self, followers: dict[str, list[str]], popularity: Popularity) -> None:
        self.followers = followers
        self.popularity = popularity

    @classmethod
    def fit(cls, sessions: Iterable[Sequence[str]]) -> Self:
        """Count the pairs of consecutive, different items of sessions given as item ids."""
        sessions = list(sessions)
        popularity = Popularity.fit(sessions)
        place = {item_id: i for i, item_id in enumerate(popularity.ranked)}
        counts: defaultdict[str, Counter[str]] = defaultdict(Counter)
        for session in sessions:
            for item_id, following in pairwise(session):
                if item_id != following:
                    counts[item_id][following] += 1
        followers = {
            item_id: sorted(after, key=lambda other, after=after: (-after[other], place[other]))  # type: ignore[misc]
            for item_id, after in counts.items()
        }
        return cls(followers, popularity)

    def recommend(self, history: Sequence[str], k: int, exclude_seen: bool) -> list[str]:
        excluded = set(history) if exclude_seen else set()
        answer = _first(self.followers.get(history[-1], []) if history else [], k, excluded)
        return answer + _first(self.popularity.ranked, k - len(answer), excluded | set(answer))


def _first(ranked: Sequence[str], k: int, excluded: set[str]) -> list[str]:
    answer: list[str] = []
    for item_id in ranked:
        if len(answer) == k:
            break
        if item_id not in excluded:
            answer.append(item_id)
    return answer
