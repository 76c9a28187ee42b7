"""A batch of events that goes into the online store, and what became of it."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from feature_repo.schema import Event, EventType
from streaming.kafka.batches import PartitionBatch


@dataclass(frozen=True, slots=True)
class EventBatch(PartitionBatch):
    """Events of one partition."""

    events: Sequence[tuple[int, Event]] = ()
    """With their offsets, in the order of these. Messages that are no events are left out."""


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
