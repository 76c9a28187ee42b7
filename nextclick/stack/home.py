"""The files by which the processes of one NEXTCLICK_HOME find each other: lock, socket, stack.json and logs."""

import fcntl
import json
import os
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from nextclick.stack.errors import StackError
from nextclick.stack.processes import identity

_SOCKET = "supervisor.sock"
_LOCK = "supervisor.lock"
_STATE = "stack.json"


def log_path(home: Path, name: str) -> Path:
    """Where the output of a service goes."""
    return home / "logs" / f"{name}.log"


def link_to(link: Path, target: Path) -> None:
    """Have `link` lead to `target`, so that a program which runs beside it needs no path of the user's choice."""
    link.unlink(missing_ok=True)
    link.symlink_to(target)


@contextmanager
def socket_address(home: Path) -> Iterator[str]:
    """Address of the supervisor's socket, short however deep `home` lies: a Unix socket's path ends at 107 bytes."""
    folder = os.open(home, os.O_PATH | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{folder}/{_SOCKET}"
    finally:
        os.close(folder)


def listen(home: Path) -> socket.socket:
    """The supervisor's socket, which only this user may open. Call it with the lock held."""
    (home / _SOCKET).unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    before = os.umask(0o177)
    try:
        with socket_address(home) as address:
            listener.bind(address)
    finally:
        os.umask(before)
    listener.listen(64)
    return listener


def connect(home: Path) -> socket.socket | None:
    """A connection to the supervisor of `home`; None when there is none."""
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        with socket_address(home) as address:
            connection.connect(address)
    except (FileNotFoundError, ConnectionRefusedError, NotADirectoryError):
        connection.close()
        return None
    return connection


def try_lock(home: Path) -> int | None:
    """Takes the lock that makes a supervisor the only one of its home; a file descriptor, or None when it is taken."""
    descriptor = os.open(home / _LOCK, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    return descriptor


def unlock(descriptor: int) -> None:
    """Gives the lock back."""
    os.close(descriptor)


def state_path(home: Path) -> Path:
    """The file that tells what runs here."""
    return home / _STATE


def write_state(home: Path, state: Mapping[str, Any]) -> None:
    """Replaces stack.json in one step; only this user may read it, since an address may hold a password."""
    temporary = home / f"{_STATE}.{os.getpid()}"
    temporary.touch(0o600)
    temporary.write_text(json.dumps(state, indent=2) + "\n")
    temporary.replace(state_path(home))


def remove_state(home: Path) -> None:
    """Takes away what a supervisor leaves for others to find."""
    state_path(home).unlink(missing_ok=True)
    (home / _SOCKET).unlink(missing_ok=True)


def read_state(home: Path) -> dict[str, Any] | None:
    """stack.json of a living supervisor; None when there is none or the one that wrote it is dead."""
    path = state_path(home)
    try:
        state: dict[str, Any] = json.loads(path.read_text())
        supervisor = state["supervisor"]
        alive = identity(int(supervisor["pid"])) == str(supervisor["identity"])
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError) as error:
        raise StackError(f"{path} cannot be read ({error!r}): run `nextclick down`, which removes it") from error
    return state if alive else None
