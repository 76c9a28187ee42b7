"""What is known of a session from the store, the request, or both; and the popular items kept at hand."""

import asyncio
import time

import pytest

from feature_repo.errors import OnlineStoreError
from feature_repo.online.store import Status, StoredSession
from feature_repo.schema import Event, EventType
from feature_repo.session import Session, fold
from serving.fallback import PopularItems
from serving.features import SessionFeatures
from serving.recommendation import DegradedReason, KnownSession, RecommendationRequest, ScoredItem


def event(event_id: str, timestamp_ms: int) -> Event:
    return Event(event_id, EventType.VIEW, "s1", f"item of {event_id}", timestamp_ms)


STORED = fold(None, [event("e1", 1_000), event("e2", 2_000)])


class Store:
    """Answers what it is given; an exception is raised, and `delay` passes first."""

    def __init__(self, *answers: object, delay: float = 0.0) -> None:
        self.answers, self.delay = list(answers), delay

    async def _next(self) -> object:
        await asyncio.sleep(self.delay)
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def read_session(self, session_id: str) -> StoredSession:
        answer = await self._next()
        assert isinstance(answer, StoredSession)
        return answer

    async def read_popular_items(self) -> list[ScoredItem]:
        answer = await self._next()
        assert isinstance(answer, list)
        return answer


async def read(store: Store, *recent: Event, patience: float = 60.0, time_left: float = 60.0) -> KnownSession:
    request = RecommendationRequest("s1", recent)
    return await SessionFeatures(store, patience).read(request, time.monotonic() + time_left)


async def test_a_stored_session_comes_as_it_is() -> None:
    assert await read(Store(StoredSession(Status.PRESENT, STORED))) == KnownSession(STORED)


async def test_recent_events_are_added_and_known_ones_count_once() -> None:
    known = await read(Store(StoredSession(Status.PRESENT, STORED)), event("e2", 2_000), event("e3", 3_000))
    assert known.session is not None
    assert [each.event_id for each in known.session.events] == ["e1", "e2", "e3"]
    assert known.reason is None


@pytest.mark.parametrize(
    ("stored", "reason"),
    [
        (StoredSession(Status.MISSING), DegradedReason.SESSION_MISSING),
        (StoredSession(Status.STALE, STORED), DegradedReason.SESSION_STALE),
    ],
)
async def test_an_unusable_session_is_a_reason(stored: StoredSession, reason: DegradedReason) -> None:
    assert await read(Store(stored)) == KnownSession(None, reason)


@pytest.mark.parametrize("stored", [StoredSession(Status.MISSING), StoredSession(Status.STALE, STORED)])
async def test_recent_events_alone_are_a_session(stored: StoredSession) -> None:
    known = await read(Store(stored), event("e9", 9_000))
    assert known == KnownSession(Session("s1", None, (event("e9", 9_000),)))


async def test_a_failing_store_leaves_the_recent_events_and_a_reason() -> None:
    known = await read(Store(OnlineStoreError("away")), event("e9", 9_000))
    assert known.session is not None
    assert [each.event_id for each in known.session.events] == ["e9"]
    assert known.reason == DegradedReason.FEATURE_STORE_UNAVAILABLE


@pytest.mark.parametrize(("patience", "time_left"), [(0.01, 3600.0), (3600.0, 0.01), (3600.0, -1.0)])
async def test_a_late_store_is_given_up_at_its_timeout_or_the_deadline(patience: float, time_left: float) -> None:
    store = Store(StoredSession(Status.PRESENT, STORED), delay=3600.0)
    known = await asyncio.wait_for(read(store, patience=patience, time_left=time_left), 60.0)
    assert known == KnownSession(None, DegradedReason.FEATURE_STORE_UNAVAILABLE)


async def test_popular_items_outlive_a_failing_store() -> None:
    popular = PopularItems(Store([("a", 1.0)], OnlineStoreError("away"), [("b", 2.0)]), 60.0)
    seen = []
    for _ in range(3):
        await popular.refresh()
        seen.append(list(popular.items))
    assert seen == [[("a", 1.0)], [("a", 1.0)], [("b", 2.0)]]


async def test_popular_items_of_a_store_never_reached_are_empty_and_unread() -> None:
    popular = PopularItems(Store(OnlineStoreError("away")), 60.0)
    await popular.refresh()
    assert (list(popular.items), popular.was_read) == ([], False)


async def test_popular_items_are_read_anew_sooner_while_there_are_none() -> None:
    popular = PopularItems(Store(OnlineStoreError("away"), [("a", 1.0)]), 60.0)
    pauses = [popular.pause()]
    for _ in range(2):
        await popular.refresh()
        pauses.append(popular.pause())
    assert pauses == [1.0, 1.0, 60.0]
