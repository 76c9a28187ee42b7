"""Ctrl-C and SIGTERM at moments when they would leave something behind. For the main thread."""

import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import FrameType

from nextclick.interrupts import interrupt

_NUMBERS = (signal.SIGINT, signal.SIGTERM, signal.SIGALRM)
"""SIGALRM is an interrupt that has waited for a task of a Kafka client."""

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
