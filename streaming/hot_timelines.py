"""The sessions or users that a consumer has just written, so that most events need no read; bounded by their events."""

from collections import OrderedDict
from collections.abc import Collection, Iterable, Mapping
from typing import Generic, TypeVar

from feature_repo.timeline import Timeline

Hot = TypeVar("Hot", bound=Timeline)


class HotTimelines(Generic[Hot]):
    """Least recently used timelines leave first. Holds only what the online store already holds."""

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._events = 0
        self._entries: OrderedDict[str, tuple[Hot, int, int]] = OrderedDict()
        """Timeline, its partition, and its events when it was put: it grows in place."""

    def __len__(self) -> int:
        """Timelines, of any length."""
        return len(self._entries)

    def get(self, keys: Iterable[str]) -> dict[str, Hot]:
        """Those known among the keys asked for."""
        entries = self._entries
        return {key: entries[key][0] for key in keys if key in entries}

    def put(self, timelines: Mapping[str, Hot], partition: int) -> None:
        """Remember timelines with the partition that their events come from."""
        entries = self._entries
        for key, timeline in timelines.items():
            if known := entries.pop(key, None):
                self._events -= known[2]
            events = len(timeline)
            entries[key] = (timeline, partition, events)
            self._events += events
        while self._events > self._capacity:
            self._events -= entries.popitem(last=False)[1][2]

    def drop(self, partitions: Collection[int]) -> None:
        """Forget partitions that another consumer may write from now on."""
        self.remove([key for key, (_, partition, _) in self._entries.items() if partition in partitions])

    def remove(self, keys: Iterable[str]) -> None:
        """Forget these keys, where they are known."""
        for key in keys:
            if known := self._entries.pop(key, None):
                self._events -= known[2]

    def clear(self) -> None:
        """Forget everything."""
        self._entries.clear()
        self._events = 0
