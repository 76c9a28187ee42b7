"""A batch of events that goes into the online store, and what became of it."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from feature_repo.schema import Event, EventType


@dataclass(frozen=True, slots=True)
class PartitionBatch:
    """Events of one partition in the order of their offsets, of which those between that are no events are left out."""

    topic_id: str
    partition: int
    events: Sequence[tuple[int, Event]]
    next_offset: int
    """Offset after the last message of the batch, event or not."""
    follows: int = 0
    """Offset up to which the store must have the partition, as messages from there on are in this batch."""

    @property
    def position_name(self) -> str:
        """Names the partition in the online store; a topic that was created anew has another id."""
        return f"{self.topic_id}/{self.partition}"


@dataclass(slots=True)
class Applied:
    """What became of a batch's events."""

    new: Counter[EventType] = field(default_factory=Counter)
    repeated: Counter[EventType] = field(default_factory=Counter)
    """Known already, or older than all that a full session keeps."""
    hot: int = 0
    """Sessions that were at hand."""
    cold: int = 0
    """Sessions that had to be read."""
    write_seconds: float = 0.0
    """Spent on waiting for the store to take the rows."""
