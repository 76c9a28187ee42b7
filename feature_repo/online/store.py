"""The online store as the gateway reads it: Feast's own layout, without its SDK, in one round trip a read."""

from dataclasses import dataclass
from enum import StrEnum

import redis.asyncio
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from feature_repo.fields import now_ms
from feature_repo.online.popularity import merge_popular
from feature_repo.online.redis_layout import LAYOUTS, row_key
from feature_repo.redis_connection import redis_errors, redis_options
from feature_repo.schema import MAX_POPULAR_SHARDS, Event, Item
from feature_repo.session import Session
from feature_repo.settings import SharedSettings
from feature_repo.views import (
    ITEM_PROFILE,
    POPULAR_ITEMS,
    SESSION_EVENTS,
    USER_HISTORY,
    Row,
    View,
    history_from_row,
    item_from_row,
    popular_key,
    popular_scope,
    session_from_row,
)

ALL_ITEMS = popular_scope()
_SOCKET_TIMEOUT_SECONDS = 5.0


class Status(StrEnum):
    """What the store knows of a session."""

    PRESENT = "present"
    MISSING = "missing"
    STALE = "stale"


@dataclass(frozen=True, slots=True)
class StoredSession:
    """Answer to a read; `session` is None only when missing, a stale one is still there to be looked at."""

    status: Status
    session: Session | None = None


class OnlineStoreReader:
    """Reads for the gateway, on one event loop. Each read is one round trip and fails at once when the store is away.

    Every method but `close` raises OnlineStoreError.
    """

    def __init__(self, settings: SharedSettings) -> None:
        self._client = redis.asyncio.Redis.from_url(
            **redis_options(settings),
            socket_timeout=_SOCKET_TIMEOUT_SECONDS,
            socket_connect_timeout=_SOCKET_TIMEOUT_SECONDS,
            retry=Retry(NoBackoff(), 1),
        )

    async def read_session(self, session_id: str) -> StoredSession:
        """The session with its status: stale when its newest event is older than SESSION_TTL."""
        row = await self._read(SESSION_EVENTS, session_id)
        if row is None:
            return StoredSession(Status.MISSING)
        return StoredSession(status_of(SESSION_EVENTS, row, now_ms()), session_from_row(row))

    async def read_item(self, item_id: str) -> Item | None:
        """Catalogue features, or None where they are missing or stale."""
        row = await self._read(ITEM_PROFILE, item_id)
        return item_from_row(row) if row and status_of(ITEM_PROFILE, row, now_ms()) is Status.PRESENT else None

    async def read_history(self, user_id: str) -> list[Event]:
        """A user's newest events over sessions and devices, oldest first; empty where they are missing or stale."""
        row = await self._read(USER_HISTORY, user_id)
        if row is None or status_of(USER_HISTORY, row, now_ms()) is not Status.PRESENT:
            return []
        return history_from_row(row)

    async def read_popular_items(self, scope: str = ALL_ITEMS) -> list[tuple[str, float]]:
        """(item_id, score) of a scope, best first: events now, one of a half-life ago counting half. May be empty."""
        clock_ms = now_ms()
        layout = LAYOUTS[POPULAR_ITEMS.name]
        keys = [popular_key(scope, shard) for shard in range(MAX_POPULAR_SHARDS)]
        pipeline = self._client.pipeline(transaction=False)
        for key in keys:
            pipeline.execute_command("HMGET", row_key(POPULAR_ITEMS, key), *layout.fields)
        with redis_errors():
            replies = await pipeline.execute()
        rows = [layout.decode(key, reply) for key, reply in zip(keys, replies, strict=True)]
        return merge_popular(
            [row for row in rows if row and status_of(POPULAR_ITEMS, row, clock_ms) is Status.PRESENT], clock_ms
        )

    async def ping(self) -> None:
        """Return once the store has answered."""
        with redis_errors():
            await self._client.execute_command("PING")

    async def close(self) -> None:
        """Give connections back."""
        await self._client.aclose()

    async def _read(self, view: View, key: str) -> Row | None:
        layout = LAYOUTS[view.name]
        with redis_errors():
            reply = await self._client.execute_command("HMGET", row_key(view, key), *layout.fields)
        return layout.decode(key, reply)


def status_of(view: View, row: Row, clock_ms: int) -> Status:
    """Whether a row that exists may still be used: Feast itself does not apply a view's TTL online."""
    age_ms = clock_ms - row.timestamp_ms
    return Status.STALE if age_ms > view.ttl.total_seconds() * 1000 else Status.PRESENT
