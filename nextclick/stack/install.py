"""Puts an installation in place in one step, once for all who share the folder."""

import fcntl
import hashlib
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path


def install_locked(tools: Path, name: str, lock: bytes, build: Callable[[Path], None]) -> Path:
    """Folder `name`-<hash of lock> under `tools`, filled by `build` unless it is there already.

    `build` works in a folder that only gets its name when it is complete, so an interrupted installation starts anew.
    """
    target = tools / f"{name}-{hashlib.sha256(lock).hexdigest()[:12]}"
    if target.is_dir():
        return target
    tools.mkdir(parents=True, exist_ok=True)
    with one_at_a_time(tools / f"{name}.lock"):
        if not target.is_dir():
            unfinished = tools / f"{target.name}.unfinished"
            shutil.rmtree(unfinished, ignore_errors=True)
            unfinished.mkdir()
            build(unfinished)
            unfinished.rename(target)
    return target


@contextmanager
def one_at_a_time(path: Path) -> Iterator[None]:
    """Keeps every other process that asks for the same lock file waiting."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
