"""The sessions or users that a consumer has just written, so that most events need no read; bounded by their events."""

from collections import OrderedDict
from collections.abc import Collection, Iterable, Mapping
from typing import Generic, TypeVar

from streaming.sessions.timeline import Timeline

Hot = TypeVar("Hot", bound=Timeline)


class HotTimelines(Generic[Hot]):
    """Least recently used timelines leave first. Holds only what the online store already holds."""

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._events = 0
        self._entries: OrderedDict[str, Hot] = OrderedDict()

    def __len__(self) -> int:
        """Timelines, of any length."""
        return len(self._entries)

    def get(self, keys: Iterable[str]) -> dict[str, Hot]:
        """Those known among the keys asked for."""
        entries = self._entries
        return {key: entries[key] for key in keys if key in entries}

    def put(self, timelines: Mapping[str, Hot], partition: int) -> None:
        """Remember timelines with the partition that their events come from."""
        entries, total = self._entries, self._events
        for key, timeline in timelines.items():
            if (known := entries.get(key)) is not None:
                total -= known.hot_events
                entries.move_to_end(key)
            entries[key] = timeline
            timeline.hot_partition, timeline.hot_events = partition, len(timeline)
            total += timeline.hot_events
        while total > self._capacity:
            total -= entries.popitem(last=False)[1].hot_events
        self._events = total

    def drop(self, partitions: Collection[int]) -> None:
        """Forget partitions that another consumer may write from now on."""
        self.remove([key for key, timeline in self._entries.items() if timeline.hot_partition in partitions])

    def remove(self, keys: Iterable[str]) -> None:
        """Forget these keys, where they are known."""
        for key in keys:
            if (known := self._entries.pop(key, None)) is not None:
                self._events -= known.hot_events

    def clear(self) -> None:
        """Forget everything."""
        self._entries.clear()
        self._events = 0
