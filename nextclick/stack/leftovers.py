"""Finds and ends what a supervisor that was killed has left running."""

import json
import os
import signal
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from nextclick.stack import home as files
from nextclick.stack.processes import identity, marked

_SECONDS = 10.0


def remaining(home: Path) -> set[int]:
    """Pids of the living processes that a supervisor of `home` started, and of what they started themselves.

    The services are those noted in stack.json, because Redis overwrites its environment and the mark in it; what they
    started is known by the mark.
    """
    return set(_recorded(home)) | set(marked(home))


def kill_remaining(home: Path) -> list[int]:
    """Kills them and waits until they are gone; their pids. Call it with the lock of the home held."""
    killed = set[int]()
    deadline = time.monotonic() + _SECONDS
    while (found := remaining(home)) and time.monotonic() < deadline:
        killed |= found
        for pid in found:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.02)
    return sorted(killed)


def _recorded(home: Path) -> Iterator[int]:
    try:
        services: dict[str, Any] = json.loads(files.state_path(home).read_text())["services"]
        noted = [(int(service["pid"]), str(service["identity"])) for service in services.values()]
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return
    yield from (pid for pid, known in noted if identity(pid) == known)
