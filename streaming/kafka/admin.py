"""Administrative calls to brokers that may have just started: one place asks again after whatever may pass."""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from typing import Any, TypeVar

from kafka import KafkaAdminClient, TopicPartition
from kafka.admin import OffsetSpec
from kafka.errors import TopicAlreadyExistsError, for_code

from streaming.kafka.failures import is_passing, kafka_errors, open_client
from streaming.kafka_settings import KafkaSettings

LIMIT_SECONDS = 60.0
"""A call is made again for so long. A broker that is coming up first loads its groups, which may be many."""

_PAUSE_SECONDS = 0.2
_NO_ERROR = 0

Answer = TypeVar("Answer")


@contextmanager
def open_admin(settings: KafkaSettings) -> Iterator["Admin"]:
    """Raises KafkaUnavailableError if no broker answers within seconds."""
    with closing(open_client(settings, KafkaAdminClient)) as client:
        yield Admin(settings, client)


class Admin:
    """Every method raises KafkaUnavailableError once LIMIT_SECONDS are over, KafkaRefusedError at once."""

    def __init__(self, settings: KafkaSettings, client: KafkaAdminClient) -> None:
        self._settings = settings
        self._client = client

    def ask(self, question: Callable[[KafkaAdminClient], Answer]) -> Answer:
        """The answer to a call that does no harm when it is made twice."""
        give_up = time.monotonic() + LIMIT_SECONDS
        with kafka_errors(self._settings):
            while True:
                try:
                    return question(self._client)
                except Exception as error:
                    if not is_passing(error) or time.monotonic() > give_up:
                        raise
                # Groups may have moved; the client would go on asking the broker that it has noted.
                self._client._manager.cluster._coordinators.clear()
                time.sleep(_PAUSE_SECONDS)

    def topics(self) -> set[str]:
        """The names of all topics."""
        return self.ask(lambda client: set(client.list_topics()))

    def create_topic(self, name: str, options: Mapping[str, Any]) -> bool:
        """Returns once it can be used; whether it was made now, and not by another process meanwhile."""

        def create(client: KafkaAdminClient) -> bool:
            try:
                client.create_topics({name: dict(options)}, wait_for_metadata=True)
            except TopicAlreadyExistsError:
                client.wait_for_topics([name])
                return False
            return True

        return self.ask(create)

    def describe(self, topics: Sequence[str]) -> list[dict[str, Any]]:
        """What the client's `describe_topics` tells of topics that exist."""

        def describe(client: KafkaAdminClient) -> list[dict[str, Any]]:
            found: list[dict[str, Any]] = client.describe_topics(list(topics))
            _raise_first(each["error_code"] for each in found)
            return found

        return self.ask(describe)

    def partitions(self, topic: str) -> list[TopicPartition]:
        """The partitions of a topic that exists."""
        (description,) = self.describe([topic])
        return [TopicPartition(topic, each["partition_index"]) for each in description["partitions"]]

    def begins(self, partitions: Sequence[TopicPartition]) -> dict[TopicPartition, int]:
        """Offset of the first message that each still has."""
        found = self.ask(lambda client: client.list_partition_offsets(dict.fromkeys(partitions, OffsetSpec.EARLIEST)))
        return {partition: each.offset for partition, each in found.items()}

    def committed(self, group: str, partitions: Sequence[TopicPartition]) -> dict[TopicPartition, int]:
        """Offset from which the group goes on, of the partitions where it has committed one."""
        found = self.ask(lambda client: client.list_group_offsets({group: list(partitions)}))[group]
        return {partition: each.offset for partition, each in found.items() if each.offset >= 0}

    def begin_at_end(self, group: str, partitions: Sequence[TopicPartition]) -> None:
        """Commit where the partitions end, for a group that has no members."""

        def reset(client: KafkaAdminClient) -> None:
            results = client.reset_group_offsets(group, dict.fromkeys(partitions, OffsetSpec.LATEST))
            _raise_first(each["error"].errno for each in results.values())

        self.ask(reset)


def _raise_first(codes: Iterable[int]) -> None:
    for code in codes:
        if code != _NO_ERROR:
            raise for_code(code)
