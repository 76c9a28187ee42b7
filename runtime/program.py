"""How every program of ours runs: an interrupt ends it silently at any moment, and whatever goes wrong is one line.

Imports next to nothing, so that it guards the imports of all else.
"""

import os
import signal
import sys
from collections.abc import Callable
from types import FrameType
from typing import NoReturn

INTERRUPTED = 128 + signal.SIGINT
"""Exit status after Ctrl-C, as shells have it."""

_interrupted = False


def run(work: Callable[[], int | None]) -> NoReturn:
    """Do `work`, which imports by itself what it needs, and end the process with the status that it returns.

    None is 0. Until `work` sets handlers of its own, SIGINT and SIGTERM end the process at once.
    """
    _open_missing_streams()
    _leave_at_once(signal.SIGINT, signal.SIGTERM)
    try:
        status = _status(work)
    except KeyboardInterrupt:
        status = INTERRUPTED
    signal.setitimer(signal.ITIMER_REAL, 0)
    _leave_at_once(signal.SIGINT, signal.SIGTERM, signal.SIGALRM)  # also while Python ends
    if _interrupted or status == INTERRUPTED:
        # Threads would be waited for, and destructors of what was cut short would complain.
        os._exit(INTERRUPTED)
    sys.exit(status)


def note_interrupt() -> None:
    """From now on nothing is to be said: objects and threads that the interrupt has cut short would complain."""
    global _interrupted
    import threading

    _interrupted = True
    sys.unraisablehook = _again_if_lost
    threading.excepthook = lambda _: None


def leave(number: int, _frame: FrameType | None = None) -> NoReturn:
    """A signal handler that ends the process where it stands, without a word."""
    os._exit(128 + number)


def _status(work: Callable[[], int | None]) -> int:
    try:
        status = work() or 0
        sys.stdout.flush()
        return status
    except KeyboardInterrupt:
        return INTERRUPTED
    except BaseException as error:
        if _interrupted:
            return INTERRUPTED
        from runtime.exit_status import explained

        return explained(error)


def _leave_at_once(*numbers: signal.Signals) -> None:
    for number in numbers:
        if signal.getsignal(number) is not signal.SIG_IGN:  # as in background jobs of a shell
            signal.signal(number, leave)


def _again_if_lost(unraisable: "sys.UnraisableHookArgs") -> None:
    """An interrupt that fell into a destructor has been dropped there: it comes again."""
    if isinstance(unraisable.exc_value, KeyboardInterrupt):
        signal.setitimer(signal.ITIMER_REAL, 0.01)


def _open_missing_streams() -> None:
    """A stream that is closed is as good as one that nobody reads; a character that it cannot hold is escaped."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, open(os.devnull, "w"))  # noqa: SIM115
        elif hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
