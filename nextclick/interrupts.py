"""Ctrl-C and SIGTERM: at moments when what they raise is lost, or when they would leave something behind, they wait.

For the main thread. kafka-python 3.0.12 does its work in tasks there and swallows what is raised inside of one,
KeyboardInterrupt too; whoever waits for what the task was to bring then waits for ever. An import that is cut short
leaves half a module, and some libraries print the traceback and go on; so does a destructor.
"""

import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import FrameType

from runtime.program import leave, note_interrupt

_AGAIN_SECONDS = 0.01
_IMPORT_SYSTEM = "<frozen importlib._bootstrap>"

_NUMBERS = (signal.SIGINT, signal.SIGTERM, signal.SIGALRM)
"""SIGALRM is an interrupt that has waited."""

Handler = Callable[[int, FrameType | None], object] | signal.Handlers


def interrupt_when_safe() -> None:
    """Have SIGINT raise KeyboardInterrupt, once it is safe to; SIGTERM ends the process. For the main thread.

    Takes SIGALRM as well. Where SIGINT is ignored, as in background jobs of a shell, it stays so.
    """
    if signal.getsignal(signal.SIGTERM) is leave:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
    if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
        signal.signal(signal.SIGALRM, interrupt)
        signal.signal(signal.SIGINT, interrupt)


def interrupt(_number: int, frame: FrameType | None) -> None:
    """The handler: raises KeyboardInterrupt, once the task or destructor that was interrupted, if any, is over.

    An import may take many seconds and is not waited for: the process ends, as if it were killed.
    """
    if (where := _where_it_would_be_lost(frame)) == "import":
        leave(signal.SIGINT)
    _interrupt_after(where)


def interrupt_gently(_number: int, frame: FrameType | None) -> None:
    """The handler for a block that has to undo something: waits for the end of an import, too."""
    _interrupt_after(_where_it_would_be_lost(frame))


@contextmanager
def uninterrupted() -> Iterator[None]:
    """The block is not cut short; what is cleaned up in it takes seconds."""
    with _handled(signal.SIG_IGN):
        yield


@contextmanager
def interrupted_after(undo: Callable[[], object] = lambda: None) -> Iterator[None]:
    """The block makes something as a whole: an interrupt waits for its end, then undoes it and goes on."""
    caught: list[int] = []
    with _handled(lambda number, _: caught.append(number)):
        yield
    if caught:
        with uninterrupted():
            undo()
        raise KeyboardInterrupt


@contextmanager
def terminated_like_interrupted() -> Iterator[None]:
    """SIGTERM unwinds the block as Ctrl-C does, so that what was made is removed; both wait for it where they must."""
    ignored = signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    with _handled(interrupt_gently, [number for number in _NUMBERS if not (ignored and number == signal.SIGINT)]):
        yield


@contextmanager
def _handled(handler: Handler, numbers: Sequence[signal.Signals] = _NUMBERS) -> Iterator[None]:
    before = {number: signal.signal(number, handler) for number in numbers}
    try:
        yield
    finally:
        for number, former in before.items():
            signal.signal(number, former)


def _interrupt_after(where: str) -> None:
    if where:
        signal.setitimer(signal.ITIMER_REAL, _AGAIN_SECONDS)
    else:
        note_interrupt()
        raise KeyboardInterrupt


def _where_it_would_be_lost(frame: FrameType | None) -> str:
    """`import`, `destructor` or `task`, whichever is innermost; empty where it would not."""
    while frame is not None:
        code = frame.f_code
        if code.co_filename == _IMPORT_SYSTEM:
            return "import"
        if code.co_name == "__del__":
            return "destructor"
        if code.co_name == "__call__" and frame.f_globals.get("__name__") == "kafka.net.selector":
            return "task"
        frame = frame.f_back
    return ""
