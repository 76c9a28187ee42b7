"""The gateway's own words: what is asked, what is answered, and why an answer is degraded."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from feature_repo.schema import DEFAULT_PAGE_SIZE, Event
from feature_repo.session import Session

ScoredItem = tuple[str, float]
"""An item id and its score; higher is better."""


class DegradedReason(StrEnum):
    """Why an answer is less than the model's best; `recommender.proto` explains each, under its prefixed name."""

    SESSION_MISSING = "SESSION_MISSING"
    SESSION_STALE = "SESSION_STALE"
    FEATURE_STORE_UNAVAILABLE = "FEATURE_STORE_UNAVAILABLE"
    MODEL_UNAVAILABLE = "MODEL_UNAVAILABLE"
    MODEL_DEADLINE = "MODEL_DEADLINE"
    MODEL_INCOMPATIBLE = "MODEL_INCOMPATIBLE"


@dataclass(frozen=True, slots=True)
class RecommendationRequest:
    """A valid request; `recent_events` are of this session and may overlap with the stored ones."""

    session_id: str
    recent_events: Sequence[Event] = ()
    page_size: int = DEFAULT_PAGE_SIZE
    exclude_seen: bool = True
    exclude_item_ids: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class KnownSession:
    """What is known of a session; without one, `reason` says why. With both, the session is incomplete."""

    session: Session | None
    reason: DegradedReason | None = None


@dataclass(frozen=True, slots=True)
class Ranking:
    """A model's candidates, best first; `candidates` may be read once only."""

    candidates: Iterable[ScoredItem]
    model_name: str
    model_version: str


@dataclass(frozen=True, slots=True)
class Recommendation:
    """Items best first, who ordered them, and the session they were ordered for, as far as it is known."""

    items: list[ScoredItem]
    model_name: str
    model_version: str
    session: Session | None
    degraded_reason: DegradedReason | None = None
    visit: Sequence[Event] = ()
    """The session's events that the items were ordered by."""
