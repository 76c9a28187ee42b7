"""The HTTP server of a process's Prometheus metrics and of the probes that Kubernetes asks beside them."""

import socket
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from socketserver import ThreadingMixIn
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from prometheus_client import CollectorRegistry, make_wsgi_app

_TEXT = (("Content-Type", "text/plain; charset=utf-8"), ("Cache-Control", "no-store"))
_REQUEST_SECONDS = 10

Verdict = tuple[bool, str]
"""Good or not, and a few words for whoever looks."""
Probe = Callable[[], Verdict]
_WsgiApp = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]


@contextmanager
def serve_http(host: str, port: int, registry: CollectorRegistry, liveness: Probe, readiness: Probe) -> Iterator[int]:
    """Serve /metrics, /healthz (liveness) and /readyz in a background thread; the port, which 0 asks the system for.

    The probes are called in threads of the server. Raises OSError if it cannot listen there.
    """
    app = _app(registry, {"/healthz": liveness, "/readyz": readiness})
    server = make_server(host, port, app, _ServerV6 if ":" in host else _Server, _Handler)
    thread = threading.Thread(target=server.serve_forever, name="metrics", daemon=True)
    thread.start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _app(registry: CollectorRegistry, probes: Mapping[str, Probe]) -> _WsgiApp:
    metrics = make_wsgi_app(registry)

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


class _Handler(WSGIRequestHandler):
    timeout = _REQUEST_SECONDS  # a client that says nothing does not hold its thread for ever

    def log_message(self, format: str, *args: Any) -> None:
        """Probes come every few seconds."""
