"""How every program of ours runs: an interrupt ends it silently at any moment, and whatever goes wrong is one line.

Imports only what Python has loaded before it comes to us: until handlers are set, an interrupt is a traceback.
"""

import _signal
import atexit
import os
import sys

TYPE_CHECKING = False
"""As `typing` has it, which takes 20 ms to import."""
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType
    from typing import NoReturn

INTERRUPTED = 128 + _signal.SIGINT
"""Exit status after Ctrl-C, as shells have it."""

_SHOW_CURSOR = b"\x1b[?25h"
"""To a terminal, from which a bar may have taken it."""
_interrupted = False


def run(work: "Callable[[], int | None]") -> "NoReturn":
    """Do `work`, which imports by itself what it needs, and end the process with the status that it returns.

    None is 0. Until `work` sets handlers of its own, SIGINT and SIGTERM end the process at once.
    """
    _leave_at_once()
    # Registered first, so called last: what is done is done, and Python is about to forget our handlers.
    atexit.register(_signal.signal, _signal.SIGINT, _signal.SIG_IGN)
    _open_missing_streams()
    try:
        status = _status(work)
        _leave_at_once()
    except KeyboardInterrupt:
        status = INTERRUPTED
        _leave_at_once()
    waits, _ = _signal.setitimer(_signal.ITIMER_REAL, 0)
    if waits or _interrupted or status == INTERRUPTED:
        # Threads would be waited for, and destructors of what was cut short would complain.
        leave(_signal.SIGINT)
    sys.exit(status)


def note_interrupt() -> None:
    """From now on nothing is to be said: objects and threads that the interrupt has cut short would complain."""
    global _interrupted
    import threading

    _interrupted = True
    sys.unraisablehook = _again_if_lost
    threading.excepthook = lambda _: None


def leave(number: int, _frame: "FrameType | None" = None) -> "NoReturn":
    """A signal handler that ends the process where it stands, without a word."""
    if os.isatty(1):
        os.write(1, _SHOW_CURSOR)
    os._exit(128 + number)


def _status(work: "Callable[[], int | None]") -> int:
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


def _leave_at_once() -> None:
    for number in (_signal.SIGINT, _signal.SIGTERM):
        if _signal.getsignal(number) != _signal.SIG_IGN:  # as SIGINT is in background jobs of a shell
            _signal.signal(number, leave)


def _again_if_lost(unraisable: "sys.UnraisableHookArgs") -> None:
    """An interrupt that fell into a destructor has been dropped there: it comes again."""
    if isinstance(unraisable.exc_value, KeyboardInterrupt):
        _signal.setitimer(_signal.ITIMER_REAL, 0.01)


def _open_missing_streams() -> None:
    """A stream that is closed is as good as one that nobody reads; a character that it cannot hold is escaped."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, open(os.devnull, "w"))  # noqa: SIM115
        elif hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
