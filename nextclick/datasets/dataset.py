"""What every reader returns: a data set whose events come in event-time order and are made one by one.

Events are built while iterating, from compact rows, because millions of `Event` objects would not fit a laptop.
"""

import heapq
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from operator import attrgetter
from pathlib import Path
from typing import NamedTuple

from msgspec import structs

from feature_repo.schema import AttributeValue, Event, EventType, Item
from nextclick.datasets.errors import twice

Progress = Callable[[str], None]
"""Is told in a few words what is being done."""

SYNTHETIC_START_MS = 1_577_836_800_000
"""First event of sets that come without time stamps: 2020-01-01 UTC; each further event is a second later."""

SYNTHETIC_STEP_MS = 1_000


class Events(ABC):
    """Events in event-time order, ties in file order. Can be iterated any number of times."""

    @abstractmethod
    def __iter__(self) -> Iterator[Event]: ...

    @abstractmethod
    def __len__(self) -> int: ...

    @property
    @abstractmethod
    def newest_at_ms(self) -> int:
        """Time of the last event, milliseconds since the Unix epoch."""


@dataclass(frozen=True)
class Dataset:
    """A data set in our terms; `items` holds its catalogue or, where it has none, the items that the events name."""

    name: str
    items: Sequence[Item]
    events: Events
    session_count: int
    repeats: bool
    """Whether people come back to an item within a session here, so that `exclude_seen` should be off."""
    licence: str
    left_out: int = 0
    """Rows of the files that are well-formed but no action on an item, e.g. a search; each format says which."""

    @property
    def event_count(self) -> int:
        return len(self.events)

    @property
    def item_count(self) -> int:
        return len(self.items)


class Action(NamedTuple):
    """An event to be, before it has its place in the global order and hence its id."""

    timestamp_ms: int
    session_id: str
    item_id: str
    event_type: EventType = EventType.VIEW
    user_id: str | None = None
    attributes: dict[str, AttributeValue] | None = None


@dataclass(frozen=True)
class ActionEvents(Events):
    """Events of actions that are already in event-time order."""

    name: str
    actions: Sequence[Action]

    def __iter__(self) -> Iterator[Event]:
        for position, action in enumerate(self.actions):
            yield Event(
                event_id=event_id(self.name, position),
                event_type=action.event_type,
                session_id=action.session_id,
                item_id=action.item_id,
                timestamp_ms=action.timestamp_ms,
                user_id=action.user_id,
                attributes=dict(action.attributes or {}),
            )

    def __len__(self) -> int:
        return len(self.actions)

    @property
    def newest_at_ms(self) -> int:
        return self.actions[-1].timestamp_ms


@dataclass(frozen=True)
class ShiftedEvents(Events):
    """The same events at other times, all moved by `shift_ms`."""

    events: Events
    shift_ms: int

    def __iter__(self) -> Iterator[Event]:
        for event in self.events:
            yield structs.replace(event, timestamp_ms=event.timestamp_ms + self.shift_ms)

    def __len__(self) -> int:
        return len(self.events)

    @property
    def newest_at_ms(self) -> int:
        return self.events.newest_at_ms + self.shift_ms


def shift_to_now(events: Events, newest_at_ms: int) -> Events:
    """Moves all events by one constant so that the newest happens at `newest_at_ms`; the gaps between them stay."""
    return ShiftedEvents(events, newest_at_ms - events.newest_at_ms)


def event_id(name: str, position: int) -> str:
    """Id that sorts as text in the order of the events; `position` counts from 0."""
    return f"{name}-{position:09d}"


def in_time_order(actions: Iterable[Action], limit: int | None) -> list[Action]:
    """The oldest `limit` actions; equal times keep the order they came in. Holds no more than `limit` at a time."""
    by_time = attrgetter("timestamp_ms")
    return sorted(actions, key=by_time) if limit is None else heapq.nsmallest(limit, actions, key=by_time)


def actions_of(files: Sequence[Path], read: Callable[[Path], Iterable[Action]]) -> Iterator[Action]:
    """The actions of all files, one file after the other.

    Raises DatasetError if a session comes from two of them: splits of a data set hold sessions twice, once cut short.
    """
    if len(files) == 1:
        yield from read(files[0])
        return
    source: dict[str, Path] = {}
    for file in files:
        for action in read(file):
            first = source.setdefault(action.session_id, file)
            if first is not file:
                raise twice(action.session_id, first, file)
            yield action


def items_of(actions: Iterable[Action]) -> list[Item]:
    """The items that the actions name, in order of first appearance."""
    return [Item(item_id) for item_id in dict.fromkeys(action.item_id for action in actions)]


def session_count(actions: Iterable[Action]) -> int:
    return len({action.session_id for action in actions})
