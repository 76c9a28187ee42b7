"""The tests that every recommender passes, on planted walks whose next item is known.

A module of tests joins a recommender in three lines:

    class TestPopularity(RecommenderCases):
        hits = 0.0
        fit = staticmethod(lambda settings: Popularity.fit(planted_histories()))
"""

from collections.abc import Callable, Sequence
from typing import ClassVar

import pytest

from tests.support.planted_sessions import RING, next_on_ring, planted_events, planted_settings
from training.evaluation.baselines import Recommender
from training.settings import TrainingSettings

UNKNOWN = "an item of no session"


def planted_histories() -> list[list[str]]:
    """The item ids of each planted session, in order."""
    sessions: dict[str, list[str]] = {}
    for event in planted_events():
        sessions.setdefault(event.session_id, []).append(event.item_id)
    return list(sessions.values())


class RecommenderCases:
    """Subclass it as `Test…` and give `fit` and `hits`."""

    fit: ClassVar[Callable[[TrainingSettings], Recommender]]
    """Makes the recommender from the planted home, or from `planted_histories()`."""
    hits: ClassVar[float]
    """Least share of planted walks whose next item it answers first."""
    needs_history: ClassVar[bool] = False
    """Whether somebody else answers a session without a known item, as popular items do beside the model."""

    @pytest.fixture(scope="class")
    @classmethod
    def recommender(cls, tmp_path_factory: pytest.TempPathFactory) -> Recommender:
        """The recommender, fitted once a class."""
        return cls.fit(planted_settings(tmp_path_factory))

    def test_finds_the_planted_item_as_often_as_it_can(self, recommender: Recommender) -> None:
        walks = [[RING[(place + i * step) % len(RING)] for i in range(4)] for place in range(16) for step in (1, 2)]
        found = [recommender.recommend(walk, 1, exclude_seen=True) == [next_on_ring(walk)] for walk in walks]
        assert sum(found) / len(walks) >= self.hits

    @pytest.mark.parametrize("k", [1, 5, 12])
    def test_answers_k_different_items_of_the_catalogue(self, recommender: Recommender, k: int) -> None:
        answer = recommender.recommend(RING[:3], k, exclude_seen=False)
        assert len(answer) == len(set(answer)) == k
        assert set(answer) <= set(RING)

    def test_answers_all_there_are_when_asked_for_more(self, recommender: Recommender) -> None:
        assert set(recommender.recommend(RING[:2], 1000, exclude_seen=False)) == set(RING)

    def test_leaves_seen_items_out_when_asked(self, recommender: Recommender) -> None:
        assert set(recommender.recommend(RING[:3], 1000, exclude_seen=True)) == set(RING[3:])

    def test_a_shorter_answer_begins_a_longer_one(self, recommender: Recommender) -> None:
        longer = recommender.recommend(RING[4:7], 9, exclude_seen=True)
        assert recommender.recommend(RING[4:7], 3, exclude_seen=True) == longer[:3]

    def test_answers_after_an_unknown_item(self, recommender: Recommender) -> None:
        answer = recommender.recommend([RING[0], UNKNOWN], 3, exclude_seen=True)
        assert len(answer) == 3
        assert not {RING[0], UNKNOWN} & set(answer)

    @pytest.mark.parametrize("history", [[], [UNKNOWN]], ids=["none", "unknown"])
    def test_answers_without_a_history(self, recommender: Recommender, history: Sequence[str]) -> None:
        if self.needs_history:
            pytest.skip("popular items answer in its place")
        assert len(recommender.recommend(history, 3, exclude_seen=True)) == 3

    def test_nothing_asked_nothing_answered(self, recommender: Recommender) -> None:
        assert recommender.recommend(RING[:1], 0, exclude_seen=True) == []
