"""Ctrl-C beside a Kafka client, which on the main thread does its work in tasks there.

kafka-python 3.0.12 swallows what is raised inside of a task, KeyboardInterrupt too, and whoever waits for what the task
was to bring then waits for ever.
"""

import signal
from types import FrameType

_AGAIN_SECONDS = 0.01


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


def _is_in_task(frame: FrameType | None) -> bool:
    while frame is not None:
        if frame.f_code.co_name == "__call__" and frame.f_globals.get("__name__") == "kafka.net.selector":
            return True
        frame = frame.f_back
    return False
