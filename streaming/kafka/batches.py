"""What a poll brings, and the base of what stages make of each of its partitions."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from kafka import TopicPartition
from kafka.consumer.fetcher import ConsumerRecord

from feature_repo.errors import StoreBehindError


@dataclass(frozen=True, slots=True)
class Batch:
    """Messages of some partitions, of each in the order of their offsets. It is false if there are none."""

    records: Mapping[TopicPartition, list[ConsumerRecord]] = field(default_factory=dict)
    starts_at: Mapping[TopicPartition, int] = field(default_factory=dict)
    """Of each partition, the offset from which on no message is left out. The first message may lie behind it: between
    the two there is none, as compaction and transactions leave it."""

    def __len__(self) -> int:
        """Messages of all partitions."""
        return sum(map(len, self.records.values()))

    @property
    def next_offsets(self) -> dict[TopicPartition, int]:
        """What to commit once the messages are done."""
        return {partition: records[-1].offset + 1 for partition, records in self.records.items()}


@dataclass(frozen=True, slots=True)
class PartitionBatch:
    """A stretch of one partition on its way into the online store. Each stage adds what the messages say."""

    topic_id: str
    partition: int
    starts_at: int
    """Offset up to which the store must have the partition already; no message from there on is left out."""
    next_offset: int
    """Offset after the last message, whatever that says."""

    @property
    def position_name(self) -> str:
        """Names the partition in the online store. A topic that was created anew has another id."""
        return f"{self.topic_id}/{self.partition}"


def check_starts(batches: Sequence[PartitionBatch], positions: Sequence[int]) -> None:
    """Raise StoreBehindError if the store, which has reached these positions, lacks messages before a batch."""
    placed = zip(batches, positions, strict=True)
    if behind := {batch.partition: position for batch, position in placed if position < batch.starts_at}:
        raise StoreBehindError(behind)
