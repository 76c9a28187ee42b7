"""Consumer groups of a demo run: where they begin, and when they have caught up."""

import time
from collections.abc import Callable, Sequence

from kafka import KafkaAdminClient, TopicPartition
from kafka.admin import OffsetSpec
from kafka.errors import CoordinatorNotAvailableError

from runtime.errors import NextclickError
from streaming.kafka.connection import kafka_options
from streaming.kafka_settings import KafkaSettings

POLL_S = 0.2
STALLED_AFTER_S = 60.0
COORDINATOR_WITHIN_S = 30.0


class ConsumerGroups:
    """The groups that must see every event of this run on one topic, and nothing from before it."""

    def __init__(self, settings: KafkaSettings, topic: str, groups: Sequence[str]) -> None:
        self._admin = KafkaAdminClient(**kafka_options(settings))
        self._groups = list(groups)
        (description,) = self._admin.describe_topics([topic])
        self._partitions = [
            TopicPartition(topic, partition["partition_index"]) for partition in description["partitions"]
        ]

    def begin_at_end(self) -> None:
        """Commit the topic's end for the groups. They must not have members yet."""
        give_up = time.monotonic() + COORDINATOR_WITHIN_S
        for group in self._groups:
            while True:
                try:
                    self._admin.reset_group_offsets(group, dict.fromkeys(self._partitions, OffsetSpec.LATEST))
                    break
                except CoordinatorNotAvailableError:
                    # A new cluster first has to create its topic of offsets.
                    if time.monotonic() > give_up:
                        raise
                    time.sleep(POLL_S)
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

    def close(self) -> None:
        self._admin.close()

    def _committed(self) -> dict[str, int]:
        offsets = self._admin.list_group_offsets(dict.fromkeys(self._groups, self._partitions))
        return {group: sum(max(0, position.offset) for position in offsets[group].values()) for group in self._groups}
