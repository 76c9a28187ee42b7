"""What a person is told when a program ends by an error: one line on standard error, and its exit status."""

import errno
import os
import select
import sys
import tempfile
import traceback
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from pydantic import ValidationError

from runtime.errors import NextclickError
from runtime.extras import extra_of
from runtime.logs import log_as_json
from runtime.printable import printable, printable_lines
from runtime.settings import DEFAULT_HOME, settings_problem

_WHAT_TO_DO = {
    errno.ENOSPC: "the disk is full: make room, then run it again",
    errno.EDQUOT: "the disk quota is used up: make room, then run it again",
    errno.EROFS: "the file system is read-only",
    errno.EMFILE: "too many open files: raise the limit (`ulimit -n`), then run it again",
    errno.ENFILE: "the machine has too many open files",
    errno.EADDRINUSE: "a port is in use by another program: end it, or choose another port",
    errno.ENOMEM: "there is not enough memory",
}
"""For errors of the system that name no file."""

_RED, _PLAIN = "\x1b[1;31m", "\x1b[0m"


def explain(message: str, detail: str = "") -> None:
    """Print an error on standard error: one line, and below it what another program has said."""
    coloured = sys.stderr.isatty() and not os.environ.get("NO_COLOR")
    line = f"{_RED if coloured else ''}error:{_PLAIN if coloured else ''} {printable(message)}\n"
    sys.stderr.write(line + (printable_lines(detail).rstrip() + "\n" if detail else ""))


def explained(error: BaseException) -> int:
    """The exit status for an error that ends the program, after a line that says what is wrong.

    An error that nobody foresaw is written to a log file, whose place the line tells.
    """
    if isinstance(error, SystemExit):
        return _status_of_exit(error)
    if isinstance(error, BrokenPipeError) and _nobody_reads():
        _stop_writing()
    elif isinstance(error, NextclickError):
        explain(str(error), error.detail)
    elif problem := _problem(error):
        explain(problem)
    else:
        _report(error)
    return 1


def _problem(error: BaseException) -> str | None:
    """What a user can mend; None where the fault is ours."""
    if isinstance(error, ValidationError):
        return settings_problem(error)
    if isinstance(error, ModuleNotFoundError) and (extra := extra_of(error)):
        return f"{error.name} is not installed here: run `pip install 'nextclick[{extra}]'`"
    if _is_lack_of_memory(error):
        return "there is not enough memory: end other programs, or give it less to do at once"
    if isinstance(error, UnicodeEncodeError):
        return f"{error.object[error.start : error.end]!r} is no text in UTF-8"
    return _problem_of_system(error) if isinstance(error, OSError) else None


def _problem_of_system(error: OSError) -> str | None:
    if error.filename is not None:
        name = os.fsdecode(error.filename) if isinstance(error.filename, bytes) else str(error.filename)
        return f"{name}: {error.strerror or error}"
    return _WHAT_TO_DO.get(error.errno or 0)


def _is_lack_of_memory(error: BaseException) -> bool:
    # torch has its own kind of error on a GPU, and on a CPU a RuntimeError.
    return (
        isinstance(error, MemoryError)
        or type(error).__name__ == "OutOfMemoryError"
        or (isinstance(error, RuntimeError) and "can't allocate memory" in str(error))
    )


def _status_of_exit(error: SystemExit) -> int:
    if error.code is None or isinstance(error.code, int):
        return error.code or 0
    explain(str(error.code))
    return 1


def _report(error: BaseException) -> None:
    """The last resort: what happened stands in a log, and the line says where."""
    what = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    if log_as_json(error):
        where = "the log line above"
    elif path := _write_log("".join(traceback.format_exception(error))):
        where = str(path)
    else:
        where = "its text (no log could be written)"
    explain(f"{what} (this should not happen: please report it, with {where})")


def _write_log(text: str) -> Path | None:
    now = datetime.now(UTC)
    head = f"{now.isoformat(timespec='seconds')} {sys.argv}\nPython {sys.version}\n\n"
    for folder in _log_folders():
        path = folder / f"error-{now:%Y%m%dT%H%M%S}-{os.getpid()}.log"
        try:
            folder.mkdir(exist_ok=True)
            path.touch(0o600, exist_ok=False)  # in a folder of all, a link may lie in wait under this name
            path.write_text(head + text, "utf-8", "backslashreplace")
        except OSError:
            continue
        return path
    return None


def _log_folders() -> Iterator[Path]:
    """Below NEXTCLICK_HOME if that is there, else the temporary folder."""
    home = Path(os.environ.get("NEXTCLICK_HOME") or DEFAULT_HOME)
    if home.is_dir():
        yield home.absolute() / "logs"
    try:
        yield Path(tempfile.gettempdir())
    except OSError:  # no folder at all may be written to
        return


def _nobody_reads() -> bool:
    """Whether whoever read our standard output has gone, as `head` does."""
    try:
        poll = select.poll()
        poll.register(sys.stdout.fileno(), 0)
        return any(event & (select.POLLERR | select.POLLNVAL) for _, event in poll.poll(0))
    except (OSError, ValueError):
        return True


def _stop_writing() -> None:
    """What is still to be written goes nowhere; it would fail once more when Python ends."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
