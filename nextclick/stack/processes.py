"""Tells processes apart by what Linux's /proc says of them, so that only our own are ever touched."""

import ctypes
import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

MARK = "NEXTCLICK_SUPERVISED_BY"
"""Environment variable that every supervised process carries; its value is the supervisor's NEXTCLICK_HOME."""

_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


def identity(pid: int) -> str | None:
    """Names a living process beyond reuse of its pid, over reboots too; None when it is gone or a zombie."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return None if fields[0] in "ZX" else f"{_BOOT_ID.read_text().strip()}/{fields[19]}"
    except (FileNotFoundError, ProcessLookupError):
        return None


def marked(home: Path) -> Iterator[int]:
    """Pids of living processes that carry the mark of `home`, the calling one left out."""
    mark = f"{MARK}={home}".encode()
    for entry in Path("/proc").iterdir():
        if not entry.name.isdecimal() or int(entry.name) == os.getpid():
            continue
        try:
            if mark in (entry / "environ").read_bytes().split(b"\0"):
                yield int(entry.name)
        except (FileNotFoundError, ProcessLookupError, PermissionError):
            continue


def wait_gone(pid: int, known_identity: str, seconds: float) -> bool:
    """Whether the process went within `seconds`."""
    deadline = time.monotonic() + seconds
    while identity(pid) == known_identity:
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True


def tie_to_this_process() -> Callable[[], None]:
    """What a child is to run between fork and exec, so that the kernel kills it once the thread that forks it ends."""
    parent, prctl = os.getpid(), ctypes.CDLL(None).prctl

    def tie() -> None:
        prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != parent:
            os.kill(os.getpid(), signal.SIGKILL)

    return tie


def become_subreaper() -> None:
    """Makes orphaned descendants children of the calling process, which can then wait for them."""
    if ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl failed")
