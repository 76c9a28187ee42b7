"""Looks through the whole online store for what no key leads to: the sessions of a user."""

import struct
from collections.abc import Callable, Iterator
from contextlib import closing
from itertools import islice
from typing import cast

import redis

from feature_repo.online.redis_layout import LAYOUTS, decode_value, row_key
from feature_repo.redis_connection import redis_errors, redis_options
from feature_repo.schema import PROJECT
from feature_repo.settings import SharedSettings
from feature_repo.views import SESSION_EVENTS, FeatureType

_CHUNK = 2000
_SOCKET_TIMEOUT_SECONDS = 10.0

_USER_FIELD = LAYOUTS[SESSION_EVENTS.name].fields[list(SESSION_EVENTS.features).index("user_id")]
_KEY_START = row_key(SESSION_EVENTS, "").removesuffix(struct.pack("<I", 0) + PROJECT.encode())


def sessions_of_user(
    settings: SharedSettings, user_id: str, progress: Callable[[int, int], None] | None = None
) -> set[str]:
    """Ids of the stored sessions that name this user; `progress` gets the keys seen and about how many there are.

    Reads every row of Redis, without blocking it. Raises OnlineStoreError.
    """
    found: set[str] = set()
    seen = 0
    with closing(redis.Redis.from_url(**redis_options(settings), socket_timeout=_SOCKET_TIMEOUT_SECONDS)) as client:
        keys = client.scan_iter(count=_CHUNK)
        with redis_errors():
            total = cast(int, client.dbsize())
        while True:
            with redis_errors():
                chunk = list(islice(keys, _CHUNK))
                found |= set(_of_user(client, chunk, user_id))
            if not chunk:
                return found
            seen += len(chunk)
            if progress:
                progress(min(seen, total), total)


def _of_user(client: redis.Redis, keys: list[bytes], user_id: str) -> Iterator[str]:
    ours = [key for key in keys if key.startswith(_KEY_START)]
    pipeline = client.pipeline(transaction=False)
    for key in ours:
        pipeline.hget(key, _USER_FIELD)  # type: ignore[arg-type]  # names of fields are bytes in Feast's layout
    for key, raw in zip(ours, pipeline.execute(), strict=True):
        if raw and decode_value(FeatureType.STRING, raw) == user_id:
            yield key[len(_KEY_START) + 4 :].removesuffix(PROJECT.encode()).decode()
