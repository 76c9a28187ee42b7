"""Addresses on this machine where nothing listens."""

import socket
from contextlib import ExitStack, closing

NOTHING = "127.0.0.1:9"
"""Nothing ever listens on the port `discard`."""


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens on now, for what the test is about to start."""
    with ExitStack() as sockets:
        found = [sockets.enter_context(closing(socket.socket())) for _ in range(count)]
        for each in found:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in found]
