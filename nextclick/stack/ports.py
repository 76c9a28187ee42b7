"""Ports on loopback that survive a restart of the stack, as long as nobody else has taken them meanwhile."""

import json
import socket
from collections.abc import Iterable
from pathlib import Path

HOST = "127.0.0.1"


def choose_ports(path: Path, names: Iterable[str]) -> dict[str, int]:
    """A free port for each name: the one noted in `path` where it is free still, else a new one, noted there."""
    before = _read(path)
    held: list[socket.socket] = []
    try:
        ports = {name: _hold(before.get(name, 0), held) for name in names}
    finally:
        for taken in held:
            taken.close()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(ports))
    return ports


def _hold(wanted: int, held: list[socket.socket]) -> int:
    for port in (wanted, 0):
        candidate = socket.socket()
        candidate.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            candidate.bind((HOST, port))
        except (OSError, OverflowError):
            candidate.close()
            continue
        held.append(candidate)
        return int(candidate.getsockname()[1])
    raise OSError("no free port on loopback")


def _read(path: Path) -> dict[str, int]:
    try:
        ports = json.loads(path.read_text())
        return {str(name): int(port) for name, port in ports.items()}
    except (OSError, ValueError, AttributeError, TypeError):
        return {}
