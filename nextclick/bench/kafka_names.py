"""Topics and consumer groups of one run: named after it, and gone with it."""

import secrets
import time
from collections.abc import Sequence
from contextlib import ExitStack
from functools import partial

from kafka import KafkaAdminClient, TopicPartition
from kafka.admin import OffsetSpec

from nextclick.bench.errors import BenchError
from nextclick.interrupts import interrupted_after
from streaming.kafka.admin import Admin, open_admin
from streaming.settings import StreamingSettings

PREFIX = "nextclick-bench"
_GONE_WITHIN_SECONDS = 20.0
"""Longer than a killed member counts as one of its group."""

_DELETED = ("OK", "GroupIdNotFoundError")


class KafkaNames:
    """Hands out names, and knows them all at the end. Every method raises KafkaFailedError as `Admin` does."""

    def __init__(self, settings: StreamingSettings) -> None:
        self.run = f"{PREFIX}-{secrets.token_hex(4)}"
        self._settings = settings
        self.topics: list[str] = []
        self.groups: list[str] = []
        self._opened = ExitStack()
        self._admin = self._opened.enter_context(open_admin(settings))

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
            self._admin.create_topic(topic, options)
        return topic

    def group(self) -> str:
        """A name that no member has had."""
        group = f"{self.run}-{len(self.groups)}"
        self.groups.append(group)
        return group

    def partitions(self, topic: str) -> list[TopicPartition]:
        """Of a topic that exists."""
        return self._admin.partitions(topic)

    def messages(self, topic: str) -> int:
        """Messages in a topic from which none was ever removed."""
        newest = dict.fromkeys(self.partitions(topic), OffsetSpec.LATEST)
        ends = self._admin.ask(lambda client: client.list_partition_offsets(newest))
        return sum(end.offset for end in ends.values())

    def committed(self, group: str, partitions: Sequence[TopicPartition]) -> int:
        """Messages of the partitions that the group is through with."""
        return sum(self._admin.committed(group, partitions).values())

    def has_members(self, group: str, members: int) -> bool:
        """Whether so many members have joined and know what is theirs."""
        description = self._admin.ask(lambda client: client.describe_groups([group]))[group]
        return description["group_state"] == "Stable" and len(description["members"]) == members

    def delete(self) -> None:
        """Delete every topic and group. Raises BenchError naming those that stay."""
        self._opened.close()
        # A call that was interrupted may have left the other client in between two states.
        with open_admin(self._settings) as admin:
            stay = _delete_groups(admin, self.groups) + _delete_topics(admin, self.topics)
        if stay:
            raise BenchError(f"Kafka still has {', '.join(stay)}: delete them when it is well again")


def _delete_groups(admin: Admin, groups: Sequence[str]) -> list[str]:
    give_up = time.monotonic() + _GONE_WITHIN_SECONDS
    # A broker that never had a group has no coordinator, which it calls an error when asked to delete one.
    existing = {group["group_id"] for group in admin.ask(lambda client: client.list_groups())}
    left = [group for group in groups if group in existing]
    while left:
        results = dict(admin.ask(partial(KafkaAdminClient.delete_groups, group_ids=left)))
        left = [group for group in left if results.get(group) not in _DELETED]
        if time.monotonic() > give_up:
            break
        if left:
            time.sleep(0.5)
    return left


def _delete_topics(admin: Admin, topics: Sequence[str]) -> list[str]:
    existing = admin.topics()
    ours = [topic for topic in topics if topic in existing]
    if ours:
        admin.ask(lambda client: client.delete_topics(ours, raise_errors=False))
    give_up = time.monotonic() + _GONE_WITHIN_SECONDS
    while (left := set(ours) & admin.topics()) and time.monotonic() < give_up:
        time.sleep(0.2)
    return sorted(left)
