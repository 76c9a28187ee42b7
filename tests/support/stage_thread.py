"""Runs a stage of streaming in a thread of the test."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from streaming.settings import StreamingSettings
from tests.support.waiting import LIMIT_SECONDS


@contextmanager
def running(run: Callable[[StreamingSettings, threading.Event], None], settings: StreamingSettings) -> Iterator[None]:
    """`run` in a thread for the length of the block; it has to end once told to."""
    stop = threading.Event()
    thread = threading.Thread(target=run, args=(settings, stop))
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(LIMIT_SECONDS)
    assert not thread.is_alive(), f"{run.__name__} did not end when told to"
