"""Cuts a piece of work off at every line in turn, as a crash would, and looks at what it leaves."""

import sys
from collections.abc import Callable, Iterator
from types import FrameType, ModuleType
from typing import Any


class CrashError(BaseException):
    """Passes through every `except Exception`."""


def crash_points(work: Callable[[], object], modules: list[ModuleType]) -> Iterator[int]:
    """Run `work` again and again, ending it at the 1st, 2nd, 3rd … line of these modules, until it gets through.

    The caller looks at what is left after each, and restores what `work` started from.
    """
    files = {module.__file__ for module in modules}
    number = 0
    while True:
        number += 1
        if _run_until(work, number, files):
            return
        yield number


def _run_until(work: Callable[[], object], last_line: int, files: set[str | None]) -> bool:
    """Whether the work got through."""
    lines = 0

    def trace(frame: FrameType, event: str, _: Any) -> Any:
        nonlocal lines
        if frame.f_code.co_filename not in files:
            return None
        if event == "line":
            lines += 1
            if lines == last_line:
                raise CrashError
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        work()
    except CrashError:
        return False
    finally:
        sys.settrace(before)
    return True
