"""What a request is answered with, decided without any server."""

from collections.abc import Sequence

import pytest

from feature_repo.schema import Event, EventType
from feature_repo.session import Session, fold
from serving.errors import ModelDeadlineError, ModelError, ModelIncompatibleError, ModelUnavailableError
from serving.recommendation import DegradedReason, KnownSession, Ranking, RecommendationRequest, ScoredItem
from serving.recommender import POPULAR_ITEMS_NAME, Recommender

POPULAR = [("seen", 9.0), ("p1", 3.0), ("p2", 2.0), ("p3", 1.0)]
SESSION = fold(None, [Event("e1", EventType.VIEW, "s1", "seen", 1_000)])


class Known:
    def __init__(self, known: KnownSession) -> None:
        self.known = known

    async def read(self, request: RecommendationRequest, deadline: float) -> KnownSession:
        return self.known


class Ranker:
    """Answers its candidates, or raises."""

    def __init__(self, candidates: Sequence[ScoredItem] = (), error: ModelError | None = None) -> None:
        self.candidates, self.error = candidates, error
        self.asked: list[tuple[list[str], bool]] = []

    async def rank(self, visit: Sequence[Event], exclude_seen: bool, deadline: float) -> Ranking:
        self.asked.append(([event.event_id for event in visit], exclude_seen))
        if self.error:
            raise self.error
        return Ranking(iter(self.candidates), "ranker", "3")


class Popular:
    items = POPULAR


class Unavailable:
    def __init__(self, *item_ids: str) -> None:
        self.unavailable = set(item_ids)


def recommender(known: KnownSession, ranker: Ranker | None = None, unavailable: Sequence[str] = ()) -> Recommender:
    ranker = ranker or Ranker([("a", 2.0), ("b", 1.0), ("c", 0.5)])
    return Recommender(Known(known), ranker, Popular(), Unavailable(*unavailable))


def ids(items: list[ScoredItem]) -> list[str]:
    return [item_id for item_id, _ in items]


async def test_a_known_session_gets_the_models_order() -> None:
    ranker = Ranker([("a", 2.0), ("b", 1.0)])
    answer = await recommender(KnownSession(SESSION), ranker).recommend(RecommendationRequest("s1"), 0.0)
    assert answer.items == [("a", 2.0), ("b", 1.0)]
    assert (answer.model_name, answer.model_version, answer.degraded_reason) == ("ranker", "3", None)
    assert answer.session == SESSION
    assert ranker.asked == [(["e1"], True)]


async def test_page_size_counts_after_the_exclusions() -> None:
    asked = RecommendationRequest("s1", page_size=2, exclude_item_ids=frozenset({"a"}))
    answer = await recommender(KnownSession(SESSION)).recommend(asked, 0.0)
    assert ids(answer.items) == ["b", "c"]


@pytest.mark.parametrize("reason", [DegradedReason.SESSION_STALE, DegradedReason.FEATURE_STORE_UNAVAILABLE])
async def test_without_a_session_popular_items_carry_the_reason(reason: DegradedReason) -> None:
    ranker = Ranker()
    answer = await recommender(KnownSession(None, reason), ranker).recommend(RecommendationRequest("s1"), 0.0)
    assert ids(answer.items) == ["seen", "p1", "p2", "p3"]
    assert (answer.model_name, answer.model_version) == (POPULAR_ITEMS_NAME, "")
    assert (answer.degraded_reason, answer.session) == (reason, None)
    assert ranker.asked == []


@pytest.mark.parametrize("error", [None, ModelUnavailableError("away")])
async def test_unavailable_items_are_answered_by_nobody(error: ModelError | None) -> None:
    ranker = Ranker([("p2", 2.0), ("b", 1.0), ("c", 0.5)], error)
    asked = RecommendationRequest("s1", page_size=2)
    answer = await recommender(KnownSession(SESSION), ranker, ["p2", "b"]).recommend(asked, 0.0)
    assert ids(answer.items) == (["p1", "p3"] if error else ["c"])


def visits(*actions: tuple[int, EventType, str]) -> Session:
    """Minutes since the start, what happened, to which item."""
    start = 1_700_000_000_000
    return fold(
        None,
        [Event(f"e{n}", what, "s1", item, start + at * 60_000) for n, (at, what, item) in enumerate(actions)],
    )


TWO_VISITS = visits(
    (0, EventType.VIEW, "p1"),
    (31, EventType.VIEW, "p2"),
    (61, EventType.ADD_TO_CART, "p3"),
    (61, EventType.REMOVE_FROM_CART, "p3"),
)


async def test_the_model_goes_by_the_newest_visit_without_what_was_undone() -> None:
    ranker = Ranker([("a", 2.0)])
    answer = await recommender(KnownSession(TWO_VISITS), ranker).recommend(RecommendationRequest("s1"), 0.0)
    assert ranker.asked == [(["e1"], True)]
    assert [event.event_id for event in answer.visit] == ["e1"]
    assert answer.session == TWO_VISITS


async def test_popular_items_leave_out_what_the_visit_has_seen() -> None:
    failing = Ranker(error=ModelUnavailableError("away"))
    answer = await recommender(KnownSession(TWO_VISITS), failing).recommend(RecommendationRequest("s1"), 0.0)
    assert ids(answer.items) == ["seen", "p1", "p3"]


async def test_a_visit_that_was_undone_counts_as_missing() -> None:
    undone = visits((0, EventType.VIEW, "p1"), (40, EventType.ADD_TO_CART, "a"), (41, EventType.REMOVE_FROM_CART, "a"))
    ranker = Ranker([("a", 2.0)])
    answer = await recommender(KnownSession(undone), ranker).recommend(RecommendationRequest("s1"), 0.0)
    assert (answer.degraded_reason, list(answer.visit)) == (DegradedReason.SESSION_MISSING, [])
    assert ids(answer.items) == ["seen", "p1", "p2", "p3"]
    assert ranker.asked == []


async def test_a_session_without_events_counts_as_missing() -> None:
    answer = await recommender(KnownSession(Session("s1"))).recommend(RecommendationRequest("s1"), 0.0)
    assert answer.degraded_reason == DegradedReason.SESSION_MISSING


async def test_an_incomplete_session_is_ranked_but_marked() -> None:
    known = KnownSession(SESSION, DegradedReason.FEATURE_STORE_UNAVAILABLE)
    answer = await recommender(known).recommend(RecommendationRequest("s1"), 0.0)
    assert (answer.model_name, answer.degraded_reason) == ("ranker", DegradedReason.FEATURE_STORE_UNAVAILABLE)


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (ModelUnavailableError("away"), DegradedReason.MODEL_UNAVAILABLE),
        (ModelDeadlineError("late"), DegradedReason.MODEL_DEADLINE),
        (ModelIncompatibleError("other"), DegradedReason.MODEL_INCOMPATIBLE),
    ],
)
async def test_a_failing_model_is_replaced_by_popular_items(error: ModelError, reason: DegradedReason) -> None:
    answer = await recommender(KnownSession(SESSION), Ranker(error=error)).recommend(RecommendationRequest("s1"), 0.0)
    assert ids(answer.items) == ["p1", "p2", "p3"]
    assert (answer.degraded_reason, answer.session) == (reason, SESSION)


async def test_popular_items_obey_the_request() -> None:
    asked = RecommendationRequest("s1", page_size=2, exclude_seen=False, exclude_item_ids=frozenset({"p1"}))
    failing = Ranker(error=ModelUnavailableError("away"))
    answer = await recommender(KnownSession(SESSION), failing).recommend(asked, 0.0)
    assert ids(answer.items) == ["seen", "p2"]
