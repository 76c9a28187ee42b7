"""Rows in Redis, in Feast's layout, for writers: many in a round trip, and a batch as one transaction.

Commands are packed and replies read by hiredis, on a connection that redis-py has opened: its pipeline takes longer
over a command, and its `read_response` over a reply, than Redis does.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import hiredis
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from feature_repo.errors import OnlineStoreError
from feature_repo.redis_connection import redis_options
from feature_repo.redis_layout import Encoded, ViewLayout, row_key
from feature_repo.schema import PROJECT
from feature_repo.settings import SharedSettings
from feature_repo.views import VIEWS, View

LAYOUTS = {view.name: ViewLayout(view) for view in VIEWS}
_WORDS = {name: [word for field in layout.fields for word in (field, b"")] for name, layout in LAYOUTS.items()}
"""Fields of a row, each before the place of its value."""

_SOCKET_TIMEOUT_SECONDS = 5.0
_CHUNK = 1000
"""Commands in one round trip where they need not be one transaction: bounds what the server buffers."""

_RECEIVED_BYTES = 1 << 16

_REVISION = "_revision"
_SWAP = f"""
if (redis.call('HGET', KEYS[1], '{_REVISION}') or '0') ~= ARGV[1] then return 0 end
redis.call('HSET', KEYS[1], '{_REVISION}', ARGV[1] + 1, unpack(ARGV, 3))
if ARGV[2] ~= '0' then redis.call('EXPIRE', KEYS[1], ARGV[2]) end
return 1
"""

_EXPIRE = """
for _, key in ipairs(KEYS) do redis.call('EXPIRE', key, ARGV[1]) end
return #KEYS
"""

Command = tuple[Any, ...]
"""Words of a command: str, bytes or int."""

Wanted = Sequence[tuple[View, str]]
"""View and key of each row that is asked for."""


class EncodedRow(NamedTuple):
    """A row ready to be stored."""

    view: View
    key: str
    values: Sequence[bytes]
    """As Encoded, with every value."""
    sets_expiry: bool = True
    """Whether the row's life in the store starts anew."""


class Begun(NamedTuple):
    """What is read before a batch is folded."""

    positions: list[int]
    """0 where there is none."""
    rows: list[Encoded | None]
    shared: list[tuple[int, Encoded | None]]
    """Rows with their revision, as `read_revised`."""


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
        self._swap_sha = self._expire_sha = b""

    def write(self, rows: Sequence[EncodedRow]) -> None:
        """Insert or replace, each row by itself."""
        for start in range(0, len(rows), _CHUNK):
            self._run(self._write_commands(rows[start : start + _CHUNK]))

    def read(self, wanted: Wanted) -> list[Encoded | None]:
        """One entry for each row asked for, None where there is none."""
        replies: list[Any] = []
        for start in range(0, len(wanted), _CHUNK):
            replies += self._run([_read_command(view, key) for view, key in wanted[start : start + _CHUNK]])
        return [_row_or_none(reply) for reply in replies]

    def delete(self, rows: Wanted) -> None:
        """Remove rows; those that are not there are no error."""
        for start in range(0, len(rows), _CHUNK):
            self._run(_delete_commands(rows[start : start + _CHUNK]))

    def begin(self, partitions: Sequence[str], wanted: Wanted, shared: Wanted = ()) -> Begun:
        """Read positions of partitions, and rows: those `wanted`, and those `shared` with other writers.

        From here to `commit`, another writer's commit for any of these partitions makes ours return False.
        """
        self._drop_if_dead()
        keys = [_position_key(partition) for partition in partitions]
        commands: list[Command] = [("UNWATCH",), ("WATCH", *keys), ("MGET", *keys)]
        commands += (_read_command(view, key) for view, key in wanted)
        commands += (_read_revised_command(view, key) for view, key in shared)
        _, _, positions, *rows = self._run(commands)
        return Begun(
            [int(position or 0) for position in positions],
            [_row_or_none(reply) for reply in rows[: len(wanted)]],
            [_revised(reply) for reply in rows[len(wanted) :]],
        )

    def commit(self, positions: Mapping[str, int], rows: Sequence[EncodedRow], also: Sequence[Command] = ()) -> bool:
        """Store rows and positions together, all or nothing; False, and nothing, if another writer was faster.

        Commands in `also` belong to the same transaction.
        """
        return self.send_commit(positions, rows, also)()

    def send_commit(
        self, positions: Mapping[str, int], rows: Sequence[EncodedRow], also: Sequence[Command] = ()
    ) -> Callable[[], bool]:
        """As `commit`; what this returns waits for the answer. Call it once, and such calls in the order of sending."""
        commands: list[Command] = [("MULTI",), *self._write_commands(rows), *also]
        commands += (("SET", _position_key(partition), position) for partition, position in positions.items())
        sent = self._send([*commands, ("EXEC",)])

        def answer() -> bool:
            replies = self._receive(sent)[-1]
            for reply in replies or ():
                if isinstance(reply, redis.RedisError):
                    raise OnlineStoreError(f"Redis: {reply}") from reply
            return replies is not None

        return answer

    def read_revised(self, wanted: Wanted) -> list[tuple[int, Encoded | None]]:
        """Rows with the revision that `send_swap` asks for, 0 where there is none."""
        return [_revised(reply) for reply in self._run([_read_revised_command(view, key) for view, key in wanted])]

    def send_swap(self, rows: Sequence[EncodedRow], revisions: Sequence[int]) -> Callable[[], list[bool]]:
        """Store each row whose stored revision is still the one given, and raise the revision by one.

        The answer says which were. It is waited for as that of `send_commit`.
        """
        self._connect()  # for the script's hash
        commands: list[Command] = [
            ("EVALSHA", self._swap_sha, 1, row_key(row.view, row.key), revision, _expiry(row), *_arguments(row))
            for row, revision in zip(rows, revisions, strict=True)
        ]
        sent = self._send(commands)
        return lambda: [bool(reply) for reply in self._receive(sent)]

    def close(self) -> None:
        """Give the connection back."""
        self._disconnect()

    def _run(self, commands: Sequence[Command]) -> list[Any]:
        """Replies to commands sent in one go."""
        return self._receive(self._send(commands))

    def _send(self, commands: Sequence[Command]) -> int:
        """How many replies there will be; the connection does not outlive an error, nor does what it watched."""
        if commands:
            connection = self._connect()
            try:
                connection.send_packed_command(
                    [b"".join([hiredis.pack_command(command) for command in commands])], check_health=False
                )
            except redis.RedisError as error:
                self._disconnect()
                raise OnlineStoreError(f"Redis: {error}") from error
            self._owed += len(commands)
        return len(commands)

    def _receive(self, count: int) -> list[Any]:
        connection = self._connection
        if connection is None and count:
            raise OnlineStoreError("Redis: the connection was lost before it had answered")
        replies: list[Any] = []
        try:
            while len(replies) < count:
                if (reply := self._reader.gets()) is not False:
                    replies.append(reply)
                elif data := connection._sock.recv(_RECEIVED_BYTES):
                    self._reader.feed(data)
                else:
                    raise redis.ConnectionError("it has closed the connection")
            for reply in replies:
                if isinstance(reply, redis.RedisError):
                    raise reply
        except (redis.RedisError, OSError) as error:
            self._disconnect()
            raise OnlineStoreError(f"Redis: {error}") from error
        self._owed -= count
        return replies

    def _connect(self) -> Any:
        if self._connection is None:
            try:
                self._connection = self._pool.get_connection()
                self._reader = hiredis.Reader(protocolError=redis.InvalidResponse, replyError=redis.ResponseError)
                self._swap_sha, self._expire_sha = map(self._load_script, (_SWAP, _EXPIRE))
            except redis.RedisError as error:
                self._disconnect()
                raise OnlineStoreError(f"Redis: {error}") from error
        return self._connection

    def _load_script(self, script: str) -> bytes:
        self._connection.send_command("SCRIPT", "LOAD", script)
        sha: bytes = self._connection.read_response()
        return sha

    def _write_commands(self, rows: Sequence[EncodedRow]) -> list[Command]:
        """HSET for each row, and one command for each view to set the expiry of all its rows that need it."""
        self._connect()  # for the script's hash
        commands: list[Command] = []
        expiring: dict[int, list[bytes]] = {}
        for row in rows:
            key = row_key(row.view, row.key)
            commands.append(("HSET", key, *_arguments(row)))
            if row.sets_expiry:
                expiring.setdefault(_expiry(row), []).append(key)
        for seconds, keys in expiring.items():
            commands.append(("EVALSHA", self._expire_sha, len(keys), *keys, seconds))
        return commands

    def _drop_if_dead(self) -> None:
        """A server that was restarted since the last batch is no failure yet, nor is a batch that was given up."""
        try:
            if self._connection is not None and (self._owed or self._connection.can_read()):
                self._disconnect()
        except redis.RedisError:
            self._disconnect()

    def _disconnect(self) -> None:
        if self._connection is not None:
            self._connection.disconnect()
            self._pool.release(self._connection)
            self._connection = None
            self._owed = 0


def _position_key(partition: str) -> str:
    return f"{PROJECT}:position:{partition}"


def _read_command(view: View, key: str) -> Command:
    return ("HMGET", row_key(view, key), *LAYOUTS[view.name].fields)


def _read_revised_command(view: View, key: str) -> Command:
    return (*_read_command(view, key), _REVISION)


def _delete_commands(rows: Wanted) -> list[Command]:
    return [("DEL", row_key(view, key)) for view, key in rows]


def _row_or_none(reply: list[bytes | None]) -> Encoded | None:
    return None if reply[-1] is None else reply


def _revised(reply: list[bytes | None]) -> tuple[int, Encoded | None]:
    return int(reply[-1] or 0), _row_or_none(reply[:-1])


def _arguments(row: EncodedRow) -> list[bytes]:
    """Fields and values in turns."""
    words = _WORDS[row.view.name].copy()
    words[1::2] = row.values
    return words


def _expiry(row: EncodedRow) -> int:
    # Kept for one more TTL than it is fresh, so that a reader can tell stale from missing.
    return 2 * int(row.view.ttl.total_seconds()) if row.sets_expiry else 0
