"""Stops a writer of the online store between what it has read and what it writes, for certain."""

import select
import socket
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Self
from urllib.parse import urlsplit

from feature_repo.online.redis_commands import Command
from feature_repo.online.redis_rows import RedisRows
from feature_repo.online.rows import EncodedRow, Sending
from feature_repo.settings import SharedSettings

_TRANSACTION = b"$5\r\nMULTI\r\n"
"""How it begins. No other command that a writer sends has this in it."""

_REFUSAL = b"*-1\r\n"
"""What Redis answers to a transaction if others have changed what it watches, and to no other command of a writer."""

_CHUNK = 1 << 16


class InterruptedRows(RedisRows):
    """Rows of a writer in this process: `meanwhile` is called, once, when it has read and is about to write."""

    def __init__(self, settings: SharedSettings) -> None:
        super().__init__(settings)
        self.meanwhile: Callable[[], object] | None = None

    def send_commit(
        self,
        positions: Mapping[str, int],
        rows: Sequence[EncodedRow],
        also: Sequence[Command] = (),
        is_rewrite: bool = False,
    ) -> Sending[bool]:
        """As RedisRows, later."""
        meanwhile, self.meanwhile = self.meanwhile, None
        if meanwhile:
            meanwhile()
        return super().send_commit(positions, rows, also, is_rewrite)


class Gate:
    """Stands before a Redis and lets everything through; to be entered. While it is shut, transactions wait in it."""

    def __init__(self, url: str) -> None:
        address = urlsplit(url)
        self._redis = (address.hostname, address.port)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"redis://127.0.0.1:{self._listener.getsockname()[1]}{address.path}"
        """What a writer takes for the Redis."""
        self._open = threading.Event()
        self._open.set()
        self._threads: list[threading.Thread] = []
        self._sockets: list[socket.socket] = [self._listener]
        self.holds = False
        """Whether a transaction waits, or has waited."""
        self.refused = False
        """Whether Redis has refused one that had waited."""

    def __enter__(self) -> Self:
        self._start(self._accept)
        return self

    def __exit__(self, *_: object) -> None:
        self.open()
        for each in self._sockets:
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()
        for thread in self._threads:
            thread.join(10)

    def shut(self) -> None:
        """Let no transaction through from now on."""
        self._open.clear()

    def open(self) -> None:
        """Let through what waits, and all that comes."""
        self._open.set()

    def _start(self, run: Callable[..., None], *args: object) -> None:
        self._threads.append(threading.Thread(target=run, args=args, daemon=True))
        self._threads[-1].start()

    def _accept(self) -> None:
        with suppress(OSError):  # when it is closed
            while True:
                writer, _ = self._listener.accept()
                store = socket.create_connection(self._redis)
                self._sockets += (writer, store)
                self._start(self._pass_on, writer, store)

    def _pass_on(self, writer: socket.socket, store: socket.socket) -> None:
        """Whoever sends a transaction has read all answers before, so that it begins what comes next."""
        has_waited, tail = False, b""
        with suppress(OSError):
            while True:
                ready, _, _ = select.select([writer, store], [], [])
                if store in ready:
                    if not (data := store.recv(_CHUNK)):
                        break
                    self.refused |= has_waited and _REFUSAL in tail + data
                    tail = data[-len(_REFUSAL) :]
                    writer.sendall(data)
                if writer in ready:
                    if not (data := writer.recv(_CHUNK)):
                        break
                    if _TRANSACTION in data and not self._open.is_set():
                        self.holds = has_waited = True
                        self._open.wait()
                    store.sendall(data)
        for each in (writer, store):
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
