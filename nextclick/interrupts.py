"""Ctrl-C and SIGTERM: between tasks of a Kafka client, and at moments when they would leave something behind.

For the main thread. kafka-python 3.0.12 does its work in tasks there and swallows what is raised inside of one,
KeyboardInterrupt too; whoever waits for what the task was to bring then waits for ever.
"""

import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import FrameType

_AGAIN_SECONDS = 0.01

_NUMBERS = (signal.SIGINT, signal.SIGTERM, signal.SIGALRM)
"""SIGALRM is an interrupt that has waited for a task of a Kafka client."""

Handler = Callable[[int, FrameType | None], object] | signal.Handlers


def interrupt_between_tasks() -> None:
    """Have SIGINT raise KeyboardInterrupt, but never inside of a client's task. For the main thread.

    Takes SIGALRM as well. Where SIGINT is ignored, as in background jobs of a shell, it stays so.
    """
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGALRM, interrupt)
        signal.signal(signal.SIGINT, interrupt)


def interrupt(_number: int, frame: FrameType | None) -> None:
    """The handler: raises KeyboardInterrupt, once the task that was interrupted, if any, has had its turn."""
    if _is_in_task(frame):
        signal.setitimer(signal.ITIMER_REAL, _AGAIN_SECONDS)
    else:
        raise KeyboardInterrupt


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
    """SIGTERM unwinds the block as Ctrl-C does, so that what was made is removed."""
    with _handled(interrupt, (signal.SIGTERM, signal.SIGALRM)):
        yield


@contextmanager
def _handled(handler: Handler, numbers: Sequence[signal.Signals] = _NUMBERS) -> Iterator[None]:
    before = {number: signal.signal(number, handler) for number in numbers}
    try:
        yield
    finally:
        for number, former in before.items():
            signal.signal(number, former)


def _is_in_task(frame: FrameType | None) -> bool:
    while frame is not None:
        if frame.f_code.co_name == "__call__" and frame.f_globals.get("__name__") == "kafka.net.selector":
            return True
        frame = frame.f_back
    return False
