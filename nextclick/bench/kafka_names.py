"""Topics and consumer groups of one run: named after it, and gone with it."""

import secrets
import time
from collections.abc import Sequence

from kafka import KafkaAdminClient, TopicPartition
from kafka.admin import OffsetSpec
from kafka.errors import KafkaError

from nextclick.bench.errors import BenchError
from nextclick.interrupts import interrupted_after
from streaming.kafka.connection import kafka_options, unavailable
from streaming.settings import StreamingSettings

PREFIX = "nextclick-bench"
_OPEN_MS = 10_000
_GONE_WITHIN_SECONDS = 20.0
"""Longer than a killed member counts as one of its group."""

_DELETED = ("OK", "GroupIdNotFoundError")


class KafkaNames:
    """Hands out names, and knows them all at the end. Raises KafkaUnavailableError if no broker answers."""

    def __init__(self, settings: StreamingSettings) -> None:
        self.run = f"{PREFIX}-{secrets.token_hex(4)}"
        self._settings = settings
        self.topics: list[str] = []
        self.groups: list[str] = []
        try:
            self.admin = KafkaAdminClient(**kafka_options(settings), bootstrap_timeout_ms=_OPEN_MS)
        except (KafkaError, OSError) as error:
            raise unavailable(settings) from error

    def topic_name(self, name: str) -> str:
        """Of a topic that somebody may create."""
        topic = f"{self.run}-{name}"
        self.topics.append(topic)
        return topic

    def topic(self, name: str, partitions: int) -> str:
        """Create a topic that keeps its messages however old they say they are."""
        topic = self.topic_name(name)
        options = {
            "num_partitions": partitions,
            "replication_factor": self._settings.topic_replication_factor,
            "configs": {"retention.ms": "-1"},
        }
        with interrupted_after():
            self.admin.create_topics({topic: options}, wait_for_metadata=True)
        return topic

    def group(self) -> str:
        """A name that no member has had."""
        group = f"{self.run}-{len(self.groups)}"
        self.groups.append(group)
        return group

    def partitions(self, topic: str) -> list[TopicPartition]:
        """Of a topic that exists."""
        (description,) = self.admin.describe_topics([topic])
        return [TopicPartition(topic, partition["partition_index"]) for partition in description["partitions"]]

    def messages(self, topic: str) -> int:
        """Messages in a topic from which none was ever removed."""
        ends = self.admin.list_partition_offsets(dict.fromkeys(self.partitions(topic), OffsetSpec.LATEST))
        return sum(end.offset for end in ends.values())

    def committed(self, group: str, partitions: Sequence[TopicPartition]) -> int:
        """Messages of the partitions that the group is through with."""
        offsets = self.admin.list_group_offsets({group: list(partitions)})[group]
        return sum(max(0, position.offset) for position in offsets.values())

    def has_members(self, group: str, members: int) -> bool:
        """Whether so many members have joined and know what is theirs."""
        description = self.admin.describe_groups([group])[group]
        return description["group_state"] == "Stable" and len(description["members"]) == members

    def delete(self) -> None:
        """Delete every topic and group. Raises BenchError naming those that stay."""
        self.admin.close()
        # A call that was interrupted may have left the other client in between two states.
        admin = KafkaAdminClient(**kafka_options(self._settings), bootstrap_timeout_ms=_OPEN_MS)
        try:
            stay = _delete_groups(admin, self.groups) + _delete_topics(admin, self.topics)
        finally:
            admin.close()
        if stay:
            raise BenchError(f"Kafka still has {', '.join(stay)}: delete them when it is well again")


def _delete_groups(admin: KafkaAdminClient, groups: Sequence[str]) -> list[str]:
    give_up = time.monotonic() + _GONE_WITHIN_SECONDS
    # A broker that never had a group has no coordinator, which it calls an error when asked to delete one.
    existing = {group["group_id"] for group in admin.list_groups()}
    left = [group for group in groups if group in existing]
    while left:
        results = dict(admin.delete_groups(left))
        left = [group for group in left if results.get(group) not in _DELETED]
        if time.monotonic() > give_up:
            break
        if left:
            time.sleep(0.5)
    return left


def _delete_topics(admin: KafkaAdminClient, topics: Sequence[str]) -> list[str]:
    existing = set(admin.list_topics())
    ours = [topic for topic in topics if topic in existing]
    if ours:
        admin.delete_topics(ours, raise_errors=False)
    give_up = time.monotonic() + _GONE_WITHIN_SECONDS
    while (left := set(ours) & set(admin.list_topics())) and time.monotonic() < give_up:
        time.sleep(0.2)
    return sorted(left)
