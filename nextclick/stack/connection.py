"""A client's connection, as the supervisor sees it: lines in, lines out, and the client's process to watch."""

import json
import os
import socket
import struct
from collections.abc import Mapping
from typing import Any

_CHUNK = 1 << 16


class Connection:
    """One client. `pidfd` becomes readable when its process ends, even if a fork of it still holds the socket."""

    def __init__(self, number: int, peer: socket.socket) -> None:
        self.number = number
        self._peer = peer
        self._received = b""
        peer.setblocking(False)
        self.pidfd = _open_peer(peer)

    def ends(self) -> list[socket.socket | int]:
        """What to watch: the socket, and the process if it could be opened."""
        return [self._peer] if self.pidfd is None else [self._peer, self.pidfd]

    def receive(self) -> list[bytes] | None:
        """The complete lines that have come; None at the end of the connection."""
        try:
            chunk = self._peer.recv(_CHUNK)
        except BlockingIOError:
            return []
        except ConnectionError:
            return None
        if not chunk:
            return None
        *lines, self._received = (self._received + chunk).split(b"\n")
        return lines

    def send(self, answer: Mapping[str, Any]) -> None:
        """Sends one answer. A client that has gone is noticed when it is read from."""
        try:
            self._peer.setblocking(True)
            self._peer.settimeout(1.0)
            self._peer.sendall(json.dumps(answer).encode() + b"\n")
            self._peer.setblocking(False)
        except OSError:
            pass

    def close(self) -> None:
        """Lets go of the socket and of the process."""
        self._peer.close()
        if self.pidfd is not None:
            os.close(self.pidfd)


def _open_peer(peer: socket.socket) -> int | None:
    credentials = peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    try:
        return os.pidfd_open(struct.unpack("3i", credentials)[0])
    except OSError:  # an old kernel, or the client has ended: then the socket tells
        return None
