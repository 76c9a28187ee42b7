"""SIGTERM and SIGINT ask a process to stop: the first one kindly, the second one ends it."""

import signal
from collections.abc import Callable
from types import FrameType

_NUMBERS = (signal.SIGTERM, signal.SIGINT)


def on_first_signal(act: Callable[[], object]) -> None:
    """Have the first SIGTERM or SIGINT call `act`, between two instructions of the main thread, wherever that is.

    The second one, of either kind, ends the process as if nobody had asked for it. Only the main thread may call this.
    """

    def handle(_number: int, _frame: FrameType | None) -> None:
        for number in _NUMBERS:
            signal.signal(number, signal.SIG_DFL)
        act()

    for number in _NUMBERS:
        signal.signal(number, handle)
