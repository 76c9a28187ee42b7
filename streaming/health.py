"""Whether a consumer lives and is ready, and the HTTP server that says so beside the metrics."""

import math
import socket
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from socketserver import ThreadingMixIn
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from prometheus_client import CollectorRegistry, make_wsgi_app

from streaming.errors import MetricsPortError

_TEXT = (("Content-Type", "text/plain; charset=utf-8"), ("Cache-Control", "no-store"))
_REQUEST_SECONDS = 10

WsgiApp = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]
Verdict = tuple[bool, str]
"""Good or not, and a few words for whoever looks."""


class Health:
    """What the loop says of itself, once a turn, and the server's threads ask.

    It counts as alive while its last turn is no older than `stalled_seconds`.
    """

    def __init__(self, stalled_seconds: float = math.inf) -> None:
        self._stalled_seconds = stalled_seconds
        self._turned_at = time.monotonic()
        self._ready: Verdict = (False, "starting")

    def turned(self, joined: bool, paused: bool) -> None:
        """The loop has turned: whether the group has dealt partitions, and whether it waits for a failing store."""
        self._turned_at = time.monotonic()
        if not joined:
            self._ready = (False, "no partitions assigned yet")
        elif paused:
            self._ready = (False, "paused until what batches are written to answers again")
        else:
            self._ready = (True, "ready")

    def liveness(self) -> Verdict:
        """Whether the loop has turned lately."""
        ago = time.monotonic() - self._turned_at
        if ago > self._stalled_seconds:
            return False, f"the loop last turned {ago:.0f} s ago"
        return True, "alive"

    def readiness(self) -> Verdict:
        """Whether batches are handled."""
        alive = self.liveness()
        return self._ready if alive[0] else alive


@contextmanager
def serve_http(host: str, port: int, registry: CollectorRegistry, health: Health) -> Iterator[int]:
    """Serve /metrics, /healthz (liveness) and /readyz in a background thread; the port, which 0 asks the system for.

    Raises MetricsPortError if it cannot listen there.
    """
    try:
        server = make_server(host, port, _app(registry, health), _server_class(host), _Handler)
    except OSError as error:
        raise MetricsPortError(host, port, error) from error
    thread = threading.Thread(target=server.serve_forever, name="metrics", daemon=True)
    thread.start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _app(registry: CollectorRegistry, health: Health) -> WsgiApp:
    metrics = make_wsgi_app(registry)
    probes = {"/healthz": health.liveness, "/readyz": health.readiness}

    def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        path = environ["PATH_INFO"]
        if path == "/metrics":
            return metrics(environ, start_response)
        if path not in probes:
            start_response("404 Not Found", [*_TEXT])
            return [b"there are /metrics, /healthz and /readyz\n"]
        good, words = probes[path]()
        start_response("200 OK" if good else "503 Service Unavailable", [*_TEXT])
        return [f"{words}\n".encode()]

    return app


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True


class _ServerV6(_Server):
    address_family = socket.AF_INET6


def _server_class(host: str) -> type[_Server]:
    return _ServerV6 if ":" in host else _Server


class _Handler(WSGIRequestHandler):
    timeout = _REQUEST_SECONDS  # a client that says nothing does not hold its thread for ever

    def log_message(self, format: str, *args: Any) -> None:
        """Probes come every few seconds."""
