"""The sessions or users that a consumer has just written, so that most events need no read; a bounded number."""

from collections import OrderedDict
from collections.abc import Collection, Iterable, Mapping
from typing import Generic, TypeVar

from feature_repo.timeline import Timeline

Hot = TypeVar("Hot", bound=Timeline)


class HotTimelines(Generic[Hot]):
    """Least recently used timelines leave first. Holds only what the online store already holds."""

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._timelines: OrderedDict[str, tuple[int, Hot]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._timelines)

    def get(self, keys: Iterable[str]) -> dict[str, Hot]:
        """Those known among the keys asked for."""
        known = self._timelines
        return {key: known[key][1] for key in keys if key in known}

    def put(self, timelines: Mapping[str, Hot], partition: int) -> None:
        """Remember timelines with the partition that their events come from."""
        known = self._timelines
        for key, timeline in timelines.items():
            known[key] = (partition, timeline)
            known.move_to_end(key)
        while len(known) > self._capacity:
            known.popitem(last=False)

    def drop(self, partitions: Collection[int]) -> None:
        """Forget partitions that another consumer may write from now on."""
        self.remove([key for key, (partition, _) in self._timelines.items() if partition in partitions])

    def remove(self, keys: Iterable[str]) -> None:
        """Forget these keys, where they are known."""
        for key in keys:
            self._timelines.pop(key, None)

    def clear(self) -> None:
        """Forget everything."""
        self._timelines.clear()
