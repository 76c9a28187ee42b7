"""Whether a consumer lives and is ready: what its loop says and the probes ask."""

import math
import time

from runtime.metrics_http import Verdict


class Health:
    """What the loop says of itself, once a turn, and the server's threads ask.

    It counts as alive while its last turn is no older than `stalled_seconds`.
    """

    def __init__(self, stalled_seconds: float = math.inf) -> None:
        self._stalled_seconds = stalled_seconds
        self._turned_at = time.monotonic()
        self._ready: Verdict = (False, "starting")

    def turned(self, joined: bool, paused: bool) -> None:
        """The loop has turned: whether the group has dealt partitions, and whether it waits for a failing store."""
        self._turned_at = time.monotonic()
        if not joined:
            self._ready = (False, "no partitions assigned yet")
        elif paused:
            self._ready = (False, "paused until what batches are written to answers again")
        else:
            self._ready = (True, "ready")

    def liveness(self) -> Verdict:
        """Whether the loop has turned lately."""
        ago = time.monotonic() - self._turned_at
        if ago > self._stalled_seconds:
            return False, f"the loop last turned {ago:.0f} s ago"
        return True, "alive"

    def readiness(self) -> Verdict:
        """Whether batches are handled."""
        alive = self.liveness()
        return self._ready if alive[0] else alive
