"""One set of tests for every baseline, then what each is known to answer."""

import pytest

from training.evaluation.baselines import CoVisitation, Popularity, Recommender

SESSIONS = [["a", "b", "c"], ["a", "b", "d"], ["x", "b", "c"], ["a", "a", "c"], ["c"], []]
# Events: a 4, c 4, b 3, d 1, x 1.


@pytest.mark.parametrize(
    "recommender", [Popularity.fit(SESSIONS), CoVisitation.fit(SESSIONS)], ids=lambda r: type(r).__name__
)
class TestEveryRecommender:
    def test_answers_k_different_items(self, recommender: Recommender) -> None:
        answer = recommender.recommend(["a", "b"], 4, exclude_seen=False)
        assert len(answer) == len(set(answer)) == 4

    def test_leaves_seen_items_out_when_asked(self, recommender: Recommender) -> None:
        assert set(recommender.recommend(["a", "b"], 9, exclude_seen=True)) == {"c", "d", "x"}
        assert set(recommender.recommend(["a", "b"], 9, exclude_seen=False)) == {"a", "b", "c", "d", "x"}

    def test_knows_what_to_say_without_history_or_of_unknown_items(self, recommender: Recommender) -> None:
        assert recommender.recommend([], 2, exclude_seen=True) == ["a", "c"]
        assert recommender.recommend(["?"], 2, exclude_seen=True) == ["a", "c"]

    def test_nothing_asked_nothing_answered(self, recommender: Recommender) -> None:
        assert recommender.recommend(["a"], 0, exclude_seen=True) == []


def test_popularity_counts_events_and_breaks_ties_by_id() -> None:
    assert Popularity.fit(SESSIONS).ranked == ["a", "c", "b", "d", "x"]


def test_co_visitation_answers_what_followed_the_last_item_then_what_is_popular() -> None:
    recommender = CoVisitation.fit(SESSIONS)
    # After b: c twice, d once; the rest by popularity.
    assert recommender.recommend(["x", "b"], 5, exclude_seen=False) == ["c", "d", "a", "b", "x"]
    # After a: b twice, c once; a itself followed a, which says nothing.
    assert recommender.recommend(["a"], 3, exclude_seen=True) == ["b", "c", "d"]


def test_co_visitation_breaks_ties_by_popularity() -> None:
    sessions = [["q", "z"], ["q", "m"], ["z"]]
    assert CoVisitation.fit(sessions).recommend(["q"], 2, exclude_seen=True) == ["z", "m"]
