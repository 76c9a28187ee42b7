"""Ctrl-C and SIGTERM at moments when they would leave something behind. For the main thread."""

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from nextclick.interrupts import interrupt, interrupt_between_tasks

_NUMBERS = (signal.SIGINT, signal.SIGTERM)

Handler = Callable[[int, FrameType | None], object] | signal.Handlers


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
    interrupt_between_tasks()
    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@contextmanager
def _handled(handler: Handler) -> Iterator[None]:
    before = {number: signal.signal(number, handler) for number in _NUMBERS}
    try:
        yield
    finally:
        for number, former in before.items():
            signal.signal(number, former)
