"""Consumer groups of a demo run: where they begin, and when they have caught up."""

import time
from collections.abc import Callable, Sequence

from runtime.errors import NextclickError
from streaming.kafka.admin import Admin

POLL_S = 0.2
STALLED_AFTER_S = 60.0


class ConsumerGroups:
    """The groups that must see every event of this run on one topic, and nothing from before it."""

    def __init__(self, admin: Admin, topic: str, groups: Sequence[str]) -> None:
        self._admin = admin
        self._groups = list(groups)
        self._partitions = admin.partitions(topic)

    def begin_at_end(self) -> None:
        """Commit the topic's end for the groups. They must not have members yet."""
        for group in self._groups:
            self._admin.begin_at_end(group, self._partitions)
        self._start = self._committed()

    def wait_until_consumed(self, messages: int, advance: Callable[[int], None]) -> None:
        """Return once every group has committed `messages` more than at the beginning.

        `advance` gets, again and again, the count that the slowest group has reached. Raises NextclickError when
        nothing moves for a minute.
        """
        moved_at, reached = time.monotonic(), 0
        while reached < messages:
            time.sleep(POLL_S)
            committed = self._committed()
            now_reached = min(committed[group] - self._start[group] for group in self._groups)
            advance(now_reached)
            if now_reached > reached:
                moved_at, reached = time.monotonic(), now_reached
            elif time.monotonic() - moved_at > STALLED_AFTER_S:
                slowest = min(self._groups, key=lambda group: committed[group])
                raise NextclickError(
                    f"consumer group {slowest} has stood at {reached} of {messages} events for "
                    f"{STALLED_AFTER_S:.0f} s: look into the logs that `nextclick status` names"
                )

    def _committed(self) -> dict[str, int]:
        return {group: sum(self._admin.committed(group, self._partitions).values()) for group in self._groups}
