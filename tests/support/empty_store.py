"""An online store that nobody else writes to: a free database of the test's Redis, and all that is in it."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TypeVar

import redis

from feature_repo.online.redis_rows import REWRITES_KEY
from feature_repo.settings import SharedSettings
from nextclick.bench.redis_database import MARK, claim_database

Settings = TypeVar("Settings", bound=SharedSettings)


@contextmanager
def empty_store(settings: Settings) -> Iterator[Settings]:
    """The settings with a database of their own, empty at first and in the end."""
    database = claim_database(settings)
    try:
        yield settings.model_validate(settings.model_dump() | {"redis_url": database.url})
    finally:
        database.release()


def dump(settings: SharedSettings) -> dict[bytes, bytes | dict[bytes, bytes]]:
    """Every key and its value, but for the counts of how often a row was written and of what rewrote old ones."""
    other = {MARK.encode(), REWRITES_KEY.encode()}
    with redis.Redis.from_url(settings.redis_url.get_secret_value()) as client:
        return {key: _value(client, key) for key in client.scan_iter(count=5000) if key not in other}


def _value(client: redis.Redis, key: bytes) -> bytes | dict[bytes, bytes]:
    if client.type(key) != b"hash":
        return client.get(key)
    return {name: value for name, value in client.hgetall(key).items() if name != b"_revision"}


def empty(settings: SharedSettings, keep: bytes) -> None:
    """Remove every row whose key does not hold these bytes."""
    with redis.Redis.from_url(settings.redis_url.get_secret_value()) as client:
        for key in [key for key in client.scan_iter(count=5000) if keep not in key and key != MARK.encode()]:
            client.delete(key)
