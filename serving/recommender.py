"""Decides what a request is answered with: the model's order where there is one to be had, else popular items."""

from collections.abc import Container, Iterable, Sequence, Set
from itertools import islice
from typing import Protocol

from feature_repo.schema import Event
from feature_repo.session import Session
from serving.errors import ModelDeadlineError, ModelError, ModelIncompatibleError
from serving.recommendation import (
    DegradedReason,
    KnownSession,
    Ranking,
    Recommendation,
    RecommendationRequest,
    ScoredItem,
)

POPULAR_ITEMS_NAME = "popular_items"
"""Stands as the model's name where no model ordered the answer."""


class SessionSource(Protocol):
    """Knows sessions. Its answer always comes in time, if need be with a reason instead of a session."""

    async def read(self, request: RecommendationRequest, deadline: float) -> KnownSession: ...


class Model(Protocol):
    """Orders candidates for a visit of at least one event. Raises a ModelError when it cannot before `deadline`."""

    async def rank(self, visit: Sequence[Event], exclude_seen: bool, deadline: float) -> Ranking: ...


class PopularSource(Protocol):
    """Has the popular items at hand, best first, without waiting."""

    @property
    def items(self) -> Sequence[ScoredItem]: ...


class AvailabilitySource(Protocol):
    """Knows, without waiting, the items that nobody can have."""

    @property
    def unavailable(self) -> Set[str]: ...


class Recommender:
    """Answers every request; only how well differs. Deadlines are readings of `time.monotonic()`."""

    def __init__(
        self, sessions: SessionSource, model: Model, popular: PopularSource, availability: AvailabilitySource
    ) -> None:
        self._sessions = sessions
        self._model = model
        self._popular = popular
        self._availability = availability

    async def recommend(self, request: RecommendationRequest, deadline: float) -> Recommendation:
        """An answer of at most `request.page_size` items, each of them available and none excluded."""
        known = await self._sessions.read(request, deadline)
        visit = known.session.visit if known.session else ()
        if not visit:
            reason = known.reason or DegradedReason.SESSION_MISSING
            return self._recommend_popular(request, known.session, visit, reason)
        try:
            ranking = await self._model.rank(visit, request.exclude_seen, deadline)
        except ModelError as error:
            return self._recommend_popular(request, known.session, visit, _reason_of(error))
        items = self._first(request.page_size, ranking.candidates, request.exclude_item_ids)
        return Recommendation(items, ranking.model_name, ranking.model_version, known.session, known.reason, visit)

    def _recommend_popular(
        self, request: RecommendationRequest, session: Session | None, visit: Sequence[Event], reason: DegradedReason
    ) -> Recommendation:
        excluded = request.exclude_item_ids
        if request.exclude_seen:
            excluded = excluded.union(event.item_id for event in visit)
        items = self._first(request.page_size, self._popular.items, excluded)
        return Recommendation(items, POPULAR_ITEMS_NAME, "", session, reason, visit)

    def _first(self, count: int, candidates: Iterable[ScoredItem], excluded: Container[str]) -> list[ScoredItem]:
        unavailable = self._availability.unavailable
        fit = (entry for entry in candidates if entry[0] not in excluded and entry[0] not in unavailable)
        return list(islice(fit, count))


def _reason_of(error: ModelError) -> DegradedReason:
    if isinstance(error, ModelDeadlineError):
        return DegradedReason.MODEL_DEADLINE
    if isinstance(error, ModelIncompatibleError):
        return DegradedReason.MODEL_INCOMPATIBLE
    return DegradedReason.MODEL_UNAVAILABLE
