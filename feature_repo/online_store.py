"""The online store's writer (streaming) and reader (serving), side by side so that one test sees both.

On Redis both speak Feast's own layout directly, in one round trip; with REDIS_URL=sqlite they go through the SDK.
"""

import asyncio
import time
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Protocol

import redis
import redis.asyncio
from redis.asyncio.retry import Retry as AsyncRetry
from redis.backoff import NoBackoff
from redis.retry import Retry

from feature_repo.errors import OnlineStoreError
from feature_repo.redis_layout import ViewLayout, row_key
from feature_repo.schema import MAX_CANDIDATES, POPULAR_SCOPE_ALL, Item
from feature_repo.session import Session
from feature_repo.settings import SharedSettings
from feature_repo.views import (
    ITEM_PROFILE,
    POPULAR_ITEMS,
    SESSION_EVENTS,
    VIEWS,
    Row,
    View,
    item_from_row,
    item_to_row,
    session_from_row,
    session_to_row,
)

if TYPE_CHECKING:
    from feature_repo.sdk_store import SdkRows

__all__ = ["OnlineStoreError", "OnlineStoreReader", "OnlineStoreWriter", "Status", "StoredSession", "status_of"]

_SOCKET_TIMEOUT_SECONDS = 5.0
_WRITE_CHUNK = 1000
"""Rows in one pipeline: bounds what redis-py and the server buffer."""


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


class _Rows(Protocol):
    def write(self, view: View, rows: Sequence[Row]) -> None: ...

    def read(self, view: View, keys: Sequence[str]) -> list[Row | None]: ...


class OnlineStoreWriter:
    """Writes rows, one for each key, and reads sessions back as the consumer's state. For one thread."""

    def __init__(self, settings: SharedSettings) -> None:
        self._rows: _Rows = _sdk_rows(settings) if settings.uses_sqlite else _RedisRows(settings)

    def write_sessions(self, sessions: Iterable[Session]) -> None:
        """Store sessions as of their newest event; the last one given of an id wins.

        A row replaces the whole stored session, so fold into what `read_sessions` answers first.

        Raises OnlineStoreError.
        """
        latest = {session.session_id: session for session in sessions if session.events}
        self._rows.write(SESSION_EVENTS, [session_to_row(session) for session in latest.values()])

    def write_items(self, items: Iterable[Item]) -> None:
        """Store catalogue features as of now; raises OnlineStoreError."""
        now_ms = _now_ms()
        latest = {item.item_id: item for item in items}
        self._rows.write(ITEM_PROFILE, [item_to_row(item, now_ms) for item in latest.values()])

    def write_popular_items(self, items: Sequence[tuple[str, float]]) -> None:
        """Store (item_id, score) pairs, best first, of which MAX_CANDIDATES are kept; raises OnlineStoreError."""
        kept = items[:MAX_CANDIDATES]
        values = {"item_ids": [item_id for item_id, _ in kept], "scores": [float(score) for _, score in kept]}
        self._rows.write(POPULAR_ITEMS, [Row(POPULAR_SCOPE_ALL, values, _now_ms())])

    def read_sessions(self, session_ids: Iterable[str]) -> dict[str, Session]:
        """The stored sessions among those asked for, stale ones included; raises OnlineStoreError."""
        rows = self._rows.read(SESSION_EVENTS, list(session_ids))
        return {row.key: session_from_row(row) for row in rows if row is not None}

    def close(self) -> None:
        """Give connections back."""
        if isinstance(self._rows, _RedisRows):
            self._rows.close()


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

    async def read_popular_items(self) -> list[tuple[str, float]]:
        """(item_id, score), best first; empty where they are missing or stale."""
        row = await self._rows.read(POPULAR_ITEMS, POPULAR_SCOPE_ALL)
        if row is None or status_of(POPULAR_ITEMS, row, _now_ms()) is not Status.PRESENT:
            return []
        return list(zip(row.values["item_ids"], row.values["scores"], strict=True))

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


_LAYOUTS = {view.name: ViewLayout(view) for view in VIEWS}


class _RedisRows:
    def __init__(self, settings: SharedSettings) -> None:
        self._client = redis.Redis.from_url(
            settings.redis_url.get_secret_value(),
            socket_timeout=_SOCKET_TIMEOUT_SECONDS,
            socket_connect_timeout=_SOCKET_TIMEOUT_SECONDS,
            retry=Retry(NoBackoff(), 1),  # once, for a connection that died while idle; the consumer owns real retries
        )

    def write(self, view: View, rows: Sequence[Row]) -> None:
        layout = _LAYOUTS[view.name]
        # Kept for one more TTL than it is fresh, so that a reader can tell stale from missing.
        expiry_seconds = 2 * int(view.ttl.total_seconds())
        for start in range(0, len(rows), _WRITE_CHUNK):
            pipeline = self._client.pipeline(transaction=False)
            for row in rows[start : start + _WRITE_CHUNK]:
                key = row_key(view, row.key)
                pipeline.execute_command("HSET", key, *layout.encode(row))
                pipeline.execute_command("EXPIRE", key, expiry_seconds)
            self._execute(pipeline)

    def read(self, view: View, keys: Sequence[str]) -> list[Row | None]:
        if not keys:
            return []
        layout = _LAYOUTS[view.name]
        pipeline = self._client.pipeline(transaction=False)
        for key in keys:
            pipeline.execute_command("HMGET", row_key(view, key), *layout.fields)
        return [layout.decode(key, reply) for key, reply in zip(keys, self._execute(pipeline), strict=True)]

    def close(self) -> None:
        self._client.close()

    @staticmethod
    def _execute(pipeline: "redis.client.Pipeline") -> list[list[bytes | None]]:
        try:
            return pipeline.execute()
        except redis.RedisError as error:
            raise OnlineStoreError(f"Redis: {error}") from error


class _AsyncRedisRows:
    def __init__(self, settings: SharedSettings) -> None:
        self._client = redis.asyncio.Redis.from_url(
            settings.redis_url.get_secret_value(),
            socket_timeout=_SOCKET_TIMEOUT_SECONDS,
            socket_connect_timeout=_SOCKET_TIMEOUT_SECONDS,
            retry=AsyncRetry(NoBackoff(), 1),
        )

    async def read(self, view: View, key: str) -> Row | None:
        layout = _LAYOUTS[view.name]
        reply = await self._execute("HMGET", row_key(view, key), *layout.fields)
        return layout.decode(key, reply)

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
        loop = asyncio.get_running_loop()
        return (await loop.run_in_executor(self._thread, self._rows.read, view, [key]))[0]

    async def ping(self) -> None:
        await self.read(POPULAR_ITEMS, POPULAR_SCOPE_ALL)

    async def close(self) -> None:
        self._thread.shutdown()


def _sdk_rows(settings: SharedSettings) -> "SdkRows":
    from feature_repo.feature_store import quieten_dask

    quieten_dask()
    from feature_repo.sdk_store import SdkRows

    return SdkRows(settings)


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
