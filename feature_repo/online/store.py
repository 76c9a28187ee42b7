"""The online store's writer (streaming) and reader (serving), side by side so that one test sees both.

On Redis both speak Feast's own layout directly, in one round trip; with REDIS_URL=sqlite they go through the SDK.
"""

import asyncio
import time
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

import redis
import redis.asyncio
from redis.asyncio.retry import Retry as AsyncRetry
from redis.backoff import NoBackoff

from feature_repo.errors import OnlineStoreError
from feature_repo.online.popularity import PopularityShard, merge_popular
from feature_repo.online.redis_layout import LAYOUTS, row_key
from feature_repo.online.redis_rows import RedisRows
from feature_repo.online.rows import EncodedRow, Rows
from feature_repo.redis_connection import redis_options
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
    item_to_row,
    popular_key,
    popular_scope,
    session_from_row,
    session_to_row,
)

if TYPE_CHECKING:
    from feature_repo.online.sdk_rows import SdkRows

__all__ = ["OnlineStoreError", "OnlineStoreReader", "OnlineStoreWriter", "Status", "StoredSession", "status_of"]

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


def open_rows(settings: SharedSettings) -> Rows:
    """Rows of the online store that REDIS_URL names, for one thread."""
    return _sdk_rows(settings) if settings.uses_sqlite else RedisRows(settings)


class OnlineStoreWriter:
    """Writes whole sessions and items, and reads sessions back. For one thread; its methods raise OnlineStoreError."""

    def __init__(self, settings: SharedSettings) -> None:
        self._rows = open_rows(settings)

    def write_sessions(self, sessions: Iterable[Session]) -> None:
        """Store sessions as of their newest event; the last one given of an id wins."""
        latest = {session.session_id: session for session in sessions if session.events}
        self._rows.write([_encoded(SESSION_EVENTS, session_to_row(session)) for session in latest.values()])

    def write_items(self, items: Iterable[Item]) -> None:
        """Store catalogue features as of now; the last one given of an id wins."""
        now_ms = _now_ms()
        latest = {item.item_id: item for item in items}
        self._rows.write([_encoded(ITEM_PROFILE, item_to_row(item, now_ms)) for item in latest.values()])

    def write_popularity(self, popularity: PopularityShard, scope: str = ALL_ITEMS, shard: int = 0) -> None:
        """Store one shard of a scope as it is."""
        self._rows.write([EncodedRow(POPULAR_ITEMS, popular_key(scope, shard), popularity.encoded())])

    def read_sessions(self, session_ids: Iterable[str]) -> dict[str, Session]:
        """The stored sessions among those asked for, stale ones included."""
        rows = self._decoded(SESSION_EVENTS, list(session_ids))
        return {row.key: session_from_row(row) for row in rows}

    def read_items(self, item_ids: Iterable[str]) -> dict[str, Item]:
        """The stored items among those asked for, stale ones included."""
        return {row.key: item_from_row(row) for row in self._decoded(ITEM_PROFILE, list(item_ids))}

    def delete(self, view: View, keys: Iterable[str]) -> None:
        """Remove rows; those that are not there are no error."""
        self._rows.delete([(view, key) for key in keys])

    def close(self) -> None:
        """Give connections back."""
        self._rows.close()

    def _decoded(self, view: View, keys: list[str]) -> list[Row]:
        found = zip(keys, self._rows.read([(view, key) for key in keys]), strict=True)
        return [row for key, encoded in found if (row := LAYOUTS[view.name].decode(key, encoded)) is not None]


def _encoded(view: View, row: Row) -> EncodedRow:
    return EncodedRow(view, row.key, LAYOUTS[view.name].encode(row))


class OnlineStoreReader:
    """Reads for the gateway, on one event loop. Each read is one round trip and fails at once when the store is away.

    Every method but `close` raises OnlineStoreError.
    """

    def __init__(self, settings: SharedSettings) -> None:
        self._rows = _AsyncSdkRows(settings) if settings.uses_sqlite else _AsyncRedisRows(settings)

    async def read_session(self, session_id: str) -> StoredSession:
        """The session with its status: stale when its newest event is older than SESSION_TTL."""
        row = await self._rows.read(SESSION_EVENTS, session_id)
        if row is None:
            return StoredSession(Status.MISSING)
        return StoredSession(status_of(SESSION_EVENTS, row, _now_ms()), session_from_row(row))

    async def read_item(self, item_id: str) -> Item | None:
        """Catalogue features, or None where they are missing or stale."""
        row = await self._rows.read(ITEM_PROFILE, item_id)
        return item_from_row(row) if row and status_of(ITEM_PROFILE, row, _now_ms()) is Status.PRESENT else None

    async def read_history(self, user_id: str) -> list[Event]:
        """A user's newest events over sessions and devices, oldest first; empty where they are missing or stale."""
        row = await self._rows.read(USER_HISTORY, user_id)
        if row is None or status_of(USER_HISTORY, row, _now_ms()) is not Status.PRESENT:
            return []
        return history_from_row(row)

    async def read_popular_items(self, scope: str = ALL_ITEMS) -> list[tuple[str, float]]:
        """(item_id, score) of a scope, best first: events now, one of a half-life ago counting half. May be empty."""
        now_ms = _now_ms()
        keys = [popular_key(scope, shard) for shard in range(MAX_POPULAR_SHARDS)]
        rows = await self._rows.read_many(POPULAR_ITEMS, keys)
        return merge_popular(
            [row for row in rows if row and status_of(POPULAR_ITEMS, row, now_ms) is Status.PRESENT], now_ms
        )

    async def ping(self) -> None:
        """Return once the store has answered."""
        await self._rows.ping()

    async def close(self) -> None:
        """Give connections back."""
        await self._rows.close()


def status_of(view: View, row: Row, now_ms: int) -> Status:
    """Whether a row that exists may still be used: Feast itself does not apply a view's TTL online."""
    age_ms = now_ms - row.timestamp_ms
    return Status.STALE if age_ms > view.ttl.total_seconds() * 1000 else Status.PRESENT


class _AsyncRedisRows:
    def __init__(self, settings: SharedSettings) -> None:
        self._client = redis.asyncio.Redis.from_url(
            **redis_options(settings),
            socket_timeout=_SOCKET_TIMEOUT_SECONDS,
            socket_connect_timeout=_SOCKET_TIMEOUT_SECONDS,
            retry=AsyncRetry(NoBackoff(), 1),
        )

    async def read(self, view: View, key: str) -> Row | None:
        layout = LAYOUTS[view.name]
        reply = await self._execute("HMGET", row_key(view, key), *layout.fields)
        return layout.decode(key, reply)

    async def read_many(self, view: View, keys: Sequence[str]) -> list[Row | None]:
        layout = LAYOUTS[view.name]
        pipeline = self._client.pipeline(transaction=False)
        for key in keys:
            pipeline.execute_command("HMGET", row_key(view, key), *layout.fields)
        try:
            replies = await pipeline.execute()
        except redis.RedisError as error:
            raise OnlineStoreError(f"Redis: {error}") from error
        return [layout.decode(key, reply) for key, reply in zip(keys, replies, strict=True)]

    async def ping(self) -> None:
        await self._execute("PING")

    async def close(self) -> None:
        await self._client.aclose()

    async def _execute(self, *command: str | bytes) -> Any:
        try:
            return await self._client.execute_command(*command)
        except redis.RedisError as error:
            raise OnlineStoreError(f"Redis: {error}") from error


class _AsyncSdkRows:
    """The SDK on one thread of its own, so that it neither blocks the loop nor is entered twice."""

    def __init__(self, settings: SharedSettings) -> None:
        self._rows = _sdk_rows(settings)
        self._thread = ThreadPoolExecutor(1, "online-store")

    async def read(self, view: View, key: str) -> Row | None:
        return (await self.read_many(view, [key]))[0]

    async def read_many(self, view: View, keys: Sequence[str]) -> list[Row | None]:
        loop = asyncio.get_running_loop()
        found = await loop.run_in_executor(self._thread, self._rows.read, [(view, key) for key in keys])
        return [LAYOUTS[view.name].decode(key, encoded) for key, encoded in zip(keys, found, strict=True)]

    async def ping(self) -> None:
        await self.read(POPULAR_ITEMS, popular_key(ALL_ITEMS, 0))

    async def close(self) -> None:
        self._thread.shutdown()


def _sdk_rows(settings: SharedSettings) -> "SdkRows":
    from feature_repo.feature_store import quieten_dask

    quieten_dask()
    from feature_repo.online.sdk_rows import SdkRows

    return SdkRows(settings)


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
