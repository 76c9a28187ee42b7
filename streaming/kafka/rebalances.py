"""What a member of a group has to know of its rebalances."""

import logging
import threading
from collections.abc import Callable, Generator, Iterable, Sequence
from typing import Any

from kafka import KafkaConsumer, TopicPartition
from kafka.cluster import ClusterMetadata
from kafka.consumer.subscription_state import ConsumerRebalanceListener

log = logging.getLogger(__name__)


class UnreadJoin:
    """The future of a join, which is not over before the coordinator has read it: then it forgets this, too."""

    is_done = False

    def __init__(self, task: Any) -> None:
        self._task = task

    def __await__(self) -> Generator[Any, Any, bytes]:
        answer: bytes = yield from self._task.__await__()
        return answer

    def __getattr__(self, name: str) -> Any:
        return getattr(self._task, name)


class RebalanceNotes(ConsumerRebalanceListener):
    """Remembers which partitions were taken away; the loop asks after every poll, before it handles records."""

    def __init__(self, on_revoked: Callable[[], None]) -> None:
        self._on_revoked = on_revoked
        self._lock = threading.Lock()  # the client may call from its own thread
        self._revoked: set[TopicPartition] = set()
        self.were_dealt = False

    def on_partitions_revoked(self, revoked: Iterable[TopicPartition]) -> None:
        """Called by the client."""
        with self._lock:
            self._revoked.update(revoked)
        self._on_revoked()
        log.info("partitions revoked: %s", _names(revoked))

    def on_partitions_assigned(self, assigned: Iterable[TopicPartition]) -> None:
        """Called by the client."""
        self.were_dealt = True
        log.info("partitions assigned: %s", _names(assigned))

    def take_revoked(self) -> set[TopicPartition]:
        """Partitions revoked since the last call, even if they were assigned again in between."""
        with self._lock:
            revoked, self._revoked = self._revoked, set()
        return revoked


def tell_of_new_partitions(consumer: KafkaConsumer, topics: Sequence[str]) -> None:
    """Have it said in the log when one of the topics gets more partitions, which the group then deals out anew."""
    counts = {topic: len(consumer.partitions_for_topic(topic)) for topic in topics}

    def look(cluster: ClusterMetadata) -> None:
        for topic, before in counts.items():
            counts[topic] = max(before, len(cluster.partitions_for_topic(topic) or ()))
            if before < counts[topic]:
                log.warning("topic %s has %d partitions now, it had %d", topic, counts[topic], before)

    consumer._cluster.add_listener(look)


def _names(partitions: Iterable[TopicPartition]) -> str:
    return ", ".join(f"{topic}[{partition}]" for topic, partition in sorted(partitions)) or "none"
