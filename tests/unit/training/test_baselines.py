"""What each baseline is known to answer; test_recommenders.py has what all of them pass."""

from training.evaluation.baselines import CoVisitation, Popularity

SESSIONS = [["a", "b", "c"], ["a", "b", "d"], ["x", "b", "c"], ["a", "a", "c"], ["c"], []]
# Events: a 4, c 4, b 3, d 1, x 1.


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
