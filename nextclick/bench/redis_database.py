"""A Redis database of the benchmark's own, on the server of the environment: found empty, left empty."""

import random
import secrets
from contextlib import closing, suppress
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

import redis

from feature_repo.errors import OnlineStoreError
from feature_repo.redis_connection import redis_errors, redis_options
from feature_repo.settings import SharedSettings
from nextclick.bench.errors import BenchError

MARK = "nextclick:bench"
"""Key that says whose the database is. Nothing is ever flushed without it."""

_USUAL_DATABASES = 16


class RedisDatabase:
    """Claimed from an empty one by `claim_database`; `release` empties it. Methods raise OnlineStoreError."""

    def __init__(self, url: str, client: "redis.Redis", token: str) -> None:
        self.url = url
        """May hold a password."""
        self.client = client
        self._token = token

    def flush(self) -> None:
        """Remove every row; the database stays ours. Raises BenchError if it is no longer."""
        with redis_errors():
            self._check()
            with self.client.pipeline(transaction=True) as pipeline:
                pipeline.flushdb()
                pipeline.set(MARK, self._token)
                pipeline.execute()

    def rows(self) -> int:
        """Keys other than our mark."""
        with redis_errors():
            return int(self.client.dbsize()) - 1  # type: ignore[arg-type]

    def release(self) -> None:
        """Remove every row and the mark."""
        with redis_errors(), closing(self.client):
            self._check()
            self.client.flushdb()

    def _check(self) -> None:
        if self.client.get(MARK) != self._token.encode():
            raise BenchError(f"the Redis database of this run lost its key {MARK}: it is somebody else's, not flushed")


def claim_database(settings: SharedSettings) -> RedisDatabase:
    """An empty database that is not the one of REDIS_URL. Raises BenchError if there is none."""
    options, token = redis_options(settings), secrets.token_hex(8)
    try:
        with redis_errors():
            own, databases = _own_and_count(options)
            # In any order: people have favourite numbers for what they try out, and flush them without looking.
            for number in random.sample(range(databases), databases):
                other = options | {"url": with_database(options["url"], number)}
                if number != own and (database := _claim(other, token)):
                    return database
    except OnlineStoreError as error:
        raise BenchError(f"{error}; start Redis or set REDIS_URL") from error
    raise BenchError(
        f"all {databases - 1} other databases of this Redis hold something: empty one with `redis-cli -n N flushdb`, "
        "or set REDIS_URL to another server"
    )


def with_database(url: str, number: int) -> str:
    """The URL with another database in it."""
    parts = urlsplit(url)
    query = urlencode([pair for pair in parse_qsl(parts.query) if pair[0] != "db"])
    return urlunsplit(parts._replace(path=f"/{number}", query=query))


def _own_and_count(options: dict[str, Any]) -> tuple[int, int]:
    with redis.Redis.from_url(**options) as client:
        client.ping()
        count = _USUAL_DATABASES
        with suppress(redis.ResponseError):  # managed servers refuse CONFIG
            count = int(client.config_get("databases").get("databases", count))
        return int(client.connection_pool.connection_kwargs.get("db") or 0), count


def _claim(options: dict[str, Any], token: str) -> RedisDatabase | None:
    client = redis.Redis.from_url(**options)
    try:
        if client.dbsize() == 0 and client.set(MARK, token, nx=True):
            if client.dbsize() == 1:
                return RedisDatabase(options["url"], client, token)
            client.delete(MARK)
    except redis.ResponseError:  # a server with fewer databases than usual
        pass
    client.close()
    return None
