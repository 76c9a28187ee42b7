"""The one limit of whatever a test waits for: machines are slow and do other work, and a test is no benchmark."""

import time
from collections.abc import Callable, Iterable
from typing import Protocol

LIMIT_SECONDS = 600.0
"""Below the `timeout` of a test in pyproject.toml, so that what was waited for is told before that strikes."""

_PAUSE_SECONDS = 0.05


class Checked(Protocol):
    """Something that may fail while others wait for what it does."""

    def check(self) -> None:
        """Fail if it has."""


def wait_until(what: str, is_true: Callable[[], object], processes: Iterable[Checked] = ()) -> None:
    """Return once `is_true`; fail, saying what was waited for, at the limit or once one of the processes has ended."""
    watched = list(processes)
    deadline = time.monotonic() + LIMIT_SECONDS
    while not is_true():
        for process in watched:
            process.check()
        assert time.monotonic() < deadline, f"waited {LIMIT_SECONDS:.0f} s for: {what}"
        time.sleep(_PAUSE_SECONDS)
