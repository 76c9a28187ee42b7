"""Log lines whose number strangers decide about: one in a while, with how many there were."""

import logging
import time
from collections.abc import Callable


class LimitedLog:
    """Writes the first line of every `seconds`, and with the next one how many were left out. For one thread."""

    def __init__(self, log: logging.Logger, seconds: float = 1.0, clock: Callable[[], float] = time.monotonic) -> None:
        self._log = log
        self._seconds = seconds
        self._clock = clock
        self._silent_until = float("-inf")
        self._left_out = 0

    def warning(self, message: str, *arguments: object) -> None:
        """As `Logger.warning`, or nothing."""
        now = self._clock()
        if now < self._silent_until:
            self._left_out += 1
            return
        if self._left_out:
            message += " (%d such lines before it were left out)"
            arguments += (self._left_out,)
        self._silent_until, self._left_out = now + self._seconds, 0
        self._log.warning(message, *arguments)
