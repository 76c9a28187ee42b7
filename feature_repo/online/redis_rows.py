"""How writers reach rows in Redis, which lie in Feast's layout: many in a round trip, and a batch as one transaction.

redis-py opens the connection, and hiredis reads the replies: redis-py's `read_response` takes longer over a reply than
Redis does.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import hiredis
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from feature_repo.errors import OnlineStoreError
from feature_repo.online.redis_commands import EXPIRE_SCRIPT, SWAP_SCRIPT, SWAPPED_AT_ONCE, Command, Commands
from feature_repo.online.redis_layout import Encoded
from feature_repo.online.rows import Begun, EncodedRow, Sending, Wanted
from feature_repo.redis_connection import redis_errors, redis_options
from feature_repo.schema import PROJECT
from feature_repo.settings import SharedSettings

_SOCKET_TIMEOUT_SECONDS = 5.0
_CHUNK = 1000
"""Commands in one round trip where they need not be one transaction. It bounds what the server buffers."""

_RECEIVED_BYTES = 1 << 16

REWRITES_KEY = f"{PROJECT}:rewrites"
"""Counts the commits of whoever folds old events: rows that a consumer remembers may be others since."""


class RedisRows:
    """One connection, for one thread. Every method raises OnlineStoreError when Redis is away or refuses."""

    def __init__(self, settings: SharedSettings) -> None:
        client = redis.Redis.from_url(
            **redis_options(settings),
            socket_timeout=_SOCKET_TIMEOUT_SECONDS,
            socket_connect_timeout=_SOCKET_TIMEOUT_SECONDS,
            retry=Retry(NoBackoff(), 0),  # the consumer owns retries
        )
        self._pool = client.connection_pool
        self._connection: Any = None
        self._reader = hiredis.Reader()
        self._owed = 0
        """Replies to what was sent that nobody has read yet."""

    def write(self, rows: Sequence[EncodedRow]) -> None:
        """Insert or replace, each row by itself."""
        for start in range(0, len(rows), _CHUNK):
            commands = Commands()
            commands.write(rows[start : start + _CHUNK])
            self._run(commands)

    def read(self, wanted: Wanted) -> list[Encoded | None]:
        """Return one entry for each row that is asked for, None where there is no row."""
        replies: list[Any] = []
        for start in range(0, len(wanted), _CHUNK):
            commands = Commands()
            commands.read(wanted[start : start + _CHUNK])
            replies += self._run(commands)
        return [_row_or_none(reply) for reply in replies]

    def delete(self, rows: Wanted) -> None:
        """Remove rows. It is no error if one is not there."""
        for start in range(0, len(rows), _CHUNK):
            commands = Commands()
            commands.delete(rows[start : start + _CHUNK])
            self._run(commands)

    def begin(self, partitions: Sequence[str], wanted: Wanted, shared: Wanted = ()) -> Begun:
        """Read positions of partitions, and rows: those `wanted`, and those `shared` with other writers.

        From here to `commit`, another writer's commit for any of these partitions makes ours return False.
        """
        self._drop_if_dead()
        keys = [_position_key(partition) for partition in partitions]
        commands = Commands()
        commands.add(("UNWATCH",))
        commands.add(("WATCH", *keys))
        commands.add(("MGET", *keys, REWRITES_KEY))
        commands.read(wanted)
        commands.read_revised(shared)
        _, _, (*positions, rewrites), *rows = self._run(commands)
        return Begun(
            [int(position or 0) for position in positions],
            [_row_or_none(reply) for reply in rows[: len(wanted)]],
            [_revised(reply) for reply in rows[len(wanted) :]],
            int(rewrites or 0),
        )

    def commit(self, positions: Mapping[str, int], rows: Sequence[EncodedRow], also: Sequence[Command] = ()) -> bool:
        """Store rows and positions together, all or nothing. If another writer was faster, it is nothing and False.

        Commands in `also` belong to the same transaction.
        """
        return self.send_commit(positions, rows, also).wait()

    def send_commit(
        self,
        positions: Mapping[str, int],
        rows: Sequence[EncodedRow],
        also: Sequence[Command] = (),
        is_rewrite: bool = False,
    ) -> Sending[bool]:
        """Do the same without waiting for the answer.

        With `is_rewrite`, `Begun.rewrites` tells all who remember rows that these may be others now.
        """
        commands = Commands()
        commands.add(("MULTI",))
        commands.write(rows)
        for command in also:
            commands.add(command)
        for partition, position in positions.items():
            commands.add(("SET", _position_key(partition), position))
        if is_rewrite:
            commands.add(("INCR", REWRITES_KEY))
        commands.add(("EXEC",))
        return _Commit(self, self._send(commands))

    def read_revised(self, wanted: Wanted) -> list[tuple[int, Encoded | None]]:
        """Read rows with the revision that `send_swap` asks for, which is 0 where there is no row."""
        commands = Commands()
        commands.read_revised(wanted)
        return [_revised(reply) for reply in self._run(commands)]

    def send_swap(self, rows: Sequence[EncodedRow], revisions: Sequence[int]) -> Sending[list[bool]]:
        """Store each row whose stored revision is still the one given, and raise the revision by one.

        All rows are of one view. The answer says which were stored.
        """
        commands = Commands()
        for start in range(0, len(rows), SWAPPED_AT_ONCE):
            commands.swap(rows[start : start + SWAPPED_AT_ONCE], revisions[start : start + SWAPPED_AT_ONCE])
        return _Swap(self, self._send(commands))

    def close(self) -> None:
        """Give the connection back."""
        self._disconnect()

    def _run(self, commands: Commands) -> list[Any]:
        """Send commands in one go and return their replies."""
        return self._receive(self._send(commands))

    def _send(self, commands: Commands) -> int:
        """Send commands in one go and return how many replies there will be."""
        if commands.count:
            with self._talking():
                self._connect().send_packed_command([commands.packed()], check_health=False)
            self._owed += commands.count
        return commands.count

    def _receive(self, count: int) -> list[Any]:
        """Return the next replies. None of them is an error."""
        connection = self._connection
        if connection is None and count:
            raise OnlineStoreError("Redis: the connection was lost before it had answered")
        replies: list[Any] = []
        with self._talking():
            while len(replies) < count:
                if (reply := self._reader.gets()) is not False:
                    replies.append(reply)
                elif data := connection._sock.recv(_RECEIVED_BYTES):
                    self._reader.feed(data)
                else:
                    raise redis.ConnectionError("it has closed the connection")
            _raise_errors(replies)
        self._owed -= count
        return replies

    def _connect(self) -> Any:
        if self._connection is None:
            self._connection = self._pool.get_connection()
            self._reader = hiredis.Reader(protocolError=redis.InvalidResponse, replyError=redis.ResponseError)
            for script in (SWAP_SCRIPT, EXPIRE_SCRIPT):
                self._connection.send_command("SCRIPT", "LOAD", script)
                self._connection.read_response()
        return self._connection

    def _drop_if_dead(self) -> None:
        """A server that was restarted since the last batch is no failure yet. A batch that was given up is none."""
        try:
            with redis_errors():
                is_dead = self._connection is not None and (self._owed or self._connection.can_read())
        except OnlineStoreError:
            is_dead = True
        if is_dead:
            self._disconnect()

    @contextmanager
    def _talking(self) -> Iterator[None]:
        """An error ends the connection, with all that it watched and all replies that are on their way."""
        try:
            with redis_errors():
                yield
        except OnlineStoreError:
            self._disconnect()
            raise

    def _disconnect(self) -> None:
        if self._connection is not None:
            self._connection.disconnect()
            self._pool.release(self._connection)
            self._connection = None
            self._owed = 0


class _Commit:
    """A transaction that was sent. The answer says whether the store has taken it."""

    def __init__(self, rows: RedisRows, replies: int) -> None:
        self._rows = rows
        self._replies = replies

    def wait(self) -> bool:
        """See Sending."""
        executed = self._rows._receive(self._replies)[-1]
        with redis_errors():
            _raise_errors(executed or ())
        return executed is not None


class _Swap:
    """Rows that were sent. The answer says of each whether the store has taken it."""

    def __init__(self, rows: RedisRows, replies: int) -> None:
        self._rows = rows
        self._replies = replies

    def wait(self) -> list[bool]:
        """See Sending."""
        return [bool(swapped) for reply in self._rows._receive(self._replies) for swapped in reply]


def _raise_errors(replies: Sequence[Any]) -> None:
    for reply in replies:
        if isinstance(reply, redis.RedisError):
            raise reply


def _position_key(partition: str) -> str:
    return f"{PROJECT}:position:{partition}"


def _row_or_none(reply: list[bytes | None]) -> Encoded | None:
    return None if reply[-1] is None else reply


def _revised(reply: list[bytes | None]) -> tuple[int, Encoded | None]:
    return int(reply[-1] or 0), _row_or_none(reply[:-1])
