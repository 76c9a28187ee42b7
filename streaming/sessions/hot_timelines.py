"""The sessions or users that a consumer has just written, so that most events need no read; bounded by their events."""

import time
from collections import OrderedDict
from collections.abc import Collection, Iterable, Mapping
from typing import Generic, TypeVar

from msgspec import Struct

from feature_repo.online.rows import EncodedRow
from streaming.sessions.timeline import Timeline

Kept = TypeVar("Kept", bound=Timeline)

_EXPIRY_REFRESH_SECONDS = 3600.0
"""Age at which a row's expiry, weeks ahead, is set anew."""


class KeptTimeline(Struct, Generic[Kept], eq=False, gc=False):  # quick to make, as there is one for each cold row
    """A timeline, and what is known of its row and of its place in memory."""

    timeline: Kept
    revision: int = 0
    """Writes of the row so far, in views that several consumers write. 0 means that the store has no row."""
    expiry_set_at: float = 0.0
    """Reading of time.monotonic() when the row's expiry was last set. 0 means that it was not yet."""
    partition: int = 0
    """Where its events come from, as `put` was told."""
    events: int = 0
    """How many it had when it was last put."""


class HotTimelines(Generic[Kept]):
    """Least recently used timelines leave first. Holds only what the online store already holds."""

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._events = 0
        self._entries: OrderedDict[str, KeptTimeline[Kept]] = OrderedDict()

    def __len__(self) -> int:
        """Timelines, of any length."""
        return len(self._entries)

    def get(self, keys: Iterable[str]) -> dict[str, KeptTimeline[Kept]]:
        """Those known among the keys asked for."""
        entries = self._entries
        return {key: entries[key] for key in keys if key in entries}

    def put(self, timelines: Mapping[str, KeptTimeline[Kept]], partition: int) -> None:
        """Remember timelines with the partition that their events come from."""
        entries, total = self._entries, self._events
        for key, kept in timelines.items():
            if (known := entries.get(key)) is not None:
                total -= known.events
                entries.move_to_end(key)
            entries[key] = kept
            kept.partition, kept.events = partition, len(kept.timeline)
            total += kept.events
        while total > self._capacity:
            total -= entries.popitem(last=False)[1].events
        self._events = total

    def drop(self, partitions: Collection[int]) -> None:
        """Forget partitions that another consumer may write from now on."""
        self.remove([key for key, kept in self._entries.items() if kept.partition in partitions])

    def remove(self, keys: Iterable[str]) -> None:
        """Forget these keys, where they are known."""
        for key in keys:
            if (known := self._entries.pop(key, None)) is not None:
                self._events -= known.events

    def clear(self) -> None:
        """Forget everything."""
        self._entries.clear()
        self._events = 0


def dirty_rows(all_kept: Iterable[KeptTimeline[Kept]]) -> list[EncodedRow]:
    """Rows of what has changed, which counts as written from now on: a failed write forgets the timelines."""
    now = time.monotonic()
    rows = []
    for kept in all_kept:
        timeline = kept.timeline
        if timeline.dirty:
            sets_expiry = not kept.expiry_set_at or now - kept.expiry_set_at > _EXPIRY_REFRESH_SECONDS
            rows.append(EncodedRow(timeline.view, timeline.key, timeline.encoded(), sets_expiry))
            timeline.dirty = False
            if sets_expiry:
                kept.expiry_set_at = now
    return rows
