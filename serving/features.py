"""What is known of a session: the stored events with the request's own recent ones folded in."""

import asyncio
import time
from typing import Protocol

from feature_repo.errors import OnlineStoreError
from feature_repo.online.store import Status, StoredSession
from feature_repo.session import Session, fold
from serving.errors import FeatureStoreUnavailableError
from serving.recommendation import DegradedReason, KnownSession, RecommendationRequest


class SessionStore(Protocol):
    """The part of `OnlineStoreReader` that is needed here."""

    async def read_session(self, session_id: str) -> StoredSession: ...


class SessionFeatures:
    """Reads sessions, waiting `timeout` seconds at most."""

    def __init__(self, store: SessionStore, timeout: float) -> None:
        self._store = store
        self._timeout = timeout

    async def read(self, request: RecommendationRequest, deadline: float) -> KnownSession:
        """Stored and recent events as one session. A store that fails or is late shows as a reason, not an error."""
        try:
            stored = await self._read_stored(request.session_id, deadline)
        except FeatureStoreUnavailableError:
            return KnownSession(_with_recent(None, request), DegradedReason.FEATURE_STORE_UNAVAILABLE)
        if stored.status is Status.PRESENT:
            return KnownSession(_with_recent(stored.session, request))
        if request.recent_events:
            return KnownSession(_with_recent(None, request))
        stale = stored.status is Status.STALE
        return KnownSession(None, DegradedReason.SESSION_STALE if stale else DegradedReason.SESSION_MISSING)

    async def _read_stored(self, session_id: str, deadline: float) -> StoredSession:
        try:
            async with asyncio.timeout(min(self._timeout, deadline - time.monotonic())):
                return await self._store.read_session(session_id)
        except (OnlineStoreError, TimeoutError) as error:
            raise FeatureStoreUnavailableError(f"session {session_id!r} could not be read: {error!r}") from error


def _with_recent(session: Session | None, request: RecommendationRequest) -> Session | None:
    return fold(session, request.recent_events) if request.recent_events else session
