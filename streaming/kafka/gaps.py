"""Finds messages that Kafka deleted, by retention or because somebody asked it to, before a group had read them.

Compaction and transactions leave offsets out as well, and those are no gaps. The two cannot be taken for each other: a
partition's first offset moves only where messages are deleted, and only what lies before it is out of a fetch's range.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass

from kafka import KafkaConsumer, TopicPartition
from kafka.errors import KafkaError, LogTruncationError, NoOffsetForPartitionError, OffsetOutOfRangeError

from streaming.kafka.member import describe

log = logging.getLogger(__name__)

PLACELESS = (NoOffsetForPartitionError, OffsetOutOfRangeError, LogTruncationError)
"""The client does not know where a partition goes on: the group is new, or what it would read next is not there."""

ASK_MS = 10_000
"""Longest that a member of a group waits for an answer about its partitions."""


@dataclass(frozen=True, slots=True)
class Gap:
    """Offsets of one partition, `end` not included, whose messages are gone."""

    partition: TopicPartition
    first: int
    end: int

    @property
    def offsets(self) -> int:
        """How many: no fewer than there were messages."""
        return self.end - self.first


class GapFinder:
    """Finds where a group's partitions go on that the client has no place for. For the consumer's thread."""

    def __init__(self, client: KafkaConsumer, group: str) -> None:
        self._client = client
        self._group = group
        self.on_gap: Callable[[Gap], None] = lambda _: None
        self.read_up_to: dict[TopicPartition, int] = {}
        """Where partitions stood when the store turned out to be behind: nothing before it is a gap."""
        self._told_up_to: dict[TopicPartition, int] = {}
        """End of the gaps that were told: a partition that comes again before its first commit has no new one."""

    def find_places(self, error: KafkaError) -> dict[TopicPartition, tuple[int, int]]:
        """Of each partition that an error of PLACELESS names, where it was to go on, and where it does.

        What was deleted in between is told. Raises KafkaError.
        """
        wanted = {partition: at for partition, at in _wanted(error).items() if partition in self._client.assignment()}
        begins = self._client.beginning_offsets(list(wanted), timeout_ms=ASK_MS) if wanted else {}
        if isinstance(error, OffsetOutOfRangeError):
            return {partition: self._pass_over(partition, at, begins[partition]) for partition, at in wanted.items()}
        if isinstance(error, LogTruncationError):
            log.warning("Kafka has lost messages that were read already, and reads on before them: %s", error)
        return {partition: (max(at, begins[partition]),) * 2 for partition, at in wanted.items()}

    def _pass_over(self, partition: TopicPartition, at: int, begin: int) -> tuple[int, int]:
        if at > begin:
            log.warning(
                "%s is past the end, as if the topic was made anew: reading it from its beginning",
                describe({partition: at}),
            )
            self._told_up_to.pop(partition, None)
            return begin, begin
        first = max(at, self.read_up_to.get(partition, 0), self._told_up_to.get(partition, 0))
        if first < begin:
            self._told_up_to[partition] = begin
            gap = Gap(partition, first, begin)
            self._tell(gap)
            self.on_gap(gap)
        return at, begin

    def _tell(self, gap: Gap) -> None:
        log.error(
            "%s: Kafka deleted the messages at offsets %d to %d, %d of them, before %s had read them, and it goes on "
            "behind them: give the topic a longer retention, and see why the group came so late",
            place := describe({gap.partition: gap.first}),
            gap.first,
            gap.end - 1,
            gap.offsets,
            self._group,
            extra={"place": place, "offsets": gap.offsets},
        )


def _wanted(error: KafkaError) -> dict[TopicPartition, int]:
    """Where each partition was to go on."""
    if isinstance(error, LogTruncationError):
        return {partition: at.offset if at else 0 for partition, at in error.divergent_offsets.items()}
    (places,) = error.args
    return dict(places) if isinstance(error, OffsetOutOfRangeError) else dict.fromkeys(places, 0)
