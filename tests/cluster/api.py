"""Reads the Kubernetes API over HTTPS with a client certificate; writing is left to Helm and kubectl."""

import http.client
import json
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self

SECONDS = 30

Object = dict[str, Any]


class Api:
    """One API server. Every call has a connection of its own."""

    def __init__(self, port: int, authority: Path, certificate: Path, key: Path) -> None:
        self._port = port
        self._context = ssl.create_default_context(cafile=str(authority))
        self._context.load_cert_chain(certificate, key)

    def get(self, path: str) -> Object:
        """The object or list at `path`. Raises OSError when the server answers with anything but success."""
        with self._answer(path) as answer:
            found: Object = json.loads(answer.read())
            return found

    def text(self, path: str) -> str:
        """What the server says at `path`, such as `/readyz`."""
        with self._answer(path) as answer:
            return answer.read().decode()

    def items(self, path: str) -> list[Object]:
        """Objects of the list at `path`."""
        listed: list[Object] = self.get(path)["items"]
        return listed

    def watch(self, path: str) -> "Watch":
        """Follows the list at `path` from now on."""
        listed = self.get(path)
        connection = self._connection()
        version = listed["metadata"]["resourceVersion"]
        connection.request("GET", f"{path}?watch=1&resourceVersion={version}")
        return Watch(listed["items"], connection)

    def _connection(self) -> http.client.HTTPSConnection:
        return http.client.HTTPSConnection("127.0.0.1", self._port, context=self._context, timeout=SECONDS)

    @contextmanager
    def _answer(self, path: str) -> Iterator[http.client.HTTPResponse]:
        connection = self._connection()
        try:
            connection.request("GET", path)
            answer = connection.getresponse()
            if answer.status >= 300:
                raise OSError(f"GET {path}: {answer.status} {answer.read().decode(errors='replace')[:500]}")
            yield answer
        finally:
            connection.close()


class Watch:
    """Every change of a list, in order, collected by a thread until the end of the `with` block."""

    def __init__(self, items: list[Object], connection: http.client.HTTPSConnection) -> None:
        self.before = items
        self.changes: list[tuple[str, Object]] = []
        """What happened (ADDED, MODIFIED, DELETED) and the object after it."""
        self._connection = connection
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._ending = threading.Event()
        self._error: Exception | None = None

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ending.set()
        if self._connection.sock is not None:
            self._connection.sock.shutdown(2)
        self._thread.join(SECONDS)
        self._connection.close()
        if self._error is not None and error is None:
            raise self._error

    def _read(self) -> None:
        try:
            answer = self._connection.getresponse()
            for line in answer:
                change = json.loads(line)
                self.changes.append((change["type"], change["object"]))
            raise ConnectionError("the server ended the watch")
        except (OSError, ValueError, http.client.HTTPException) as error:
            # A watch that ends before we end it has seen only a part.
            if not self._ending.is_set():
                self._error = error
