"""Runs a stage of streaming in a thread of the test, and waits for what it should bring about."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from streaming.settings import StreamingSettings


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
        thread.join(30)
    assert not thread.is_alive()


def wait_until(what: str, is_true: Callable[[], bool], seconds: float = 60) -> None:
    """Return once `is_true`; fail, saying what was waited for, after `seconds`."""
    deadline = time.monotonic() + seconds
    while not is_true():
        assert time.monotonic() < deadline, f"waited {seconds} s for: {what}"
        time.sleep(0.05)
