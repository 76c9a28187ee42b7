"""Counts the events of a batch towards the popular items of their partition, over all items and by category."""

import time
from collections import OrderedDict
from collections.abc import Collection, Iterable
from itertools import islice

from feature_repo.online.popularity import PopularityShard
from feature_repo.online.redis_layout import decode_value
from feature_repo.online.redis_rows import RedisRows
from feature_repo.online.rows import EncodedRow
from feature_repo.schema import MAX_POPULAR_SHARDS, Event, EventType
from feature_repo.views import ITEM_PROFILE, POPULAR_ITEMS, FeatureType, popular_key, popular_scope
from streaming.errors import TooManyPartitionsError
from streaming.sessions.batches import EventBatch

ALL = popular_scope()
_CATEGORY_FIELD = list(ITEM_PROFILE.features).index("category")


class PopularItems:
    """Remembers shards and categories that were read; whoever writes `dirty_rows` says so with `written`."""

    CAPACITY = 5_000
    """Shards remembered, of some 100 kB each at most; those used least recently leave first."""

    def __init__(self, rows: RedisRows) -> None:
        self._rows = rows
        self._shards: dict[tuple[str, int], PopularityShard] = {}
        self._dirty: set[tuple[str, int]] = set()
        self._categories = Categories(rows)

    def load(self, batches: Iterable[EventBatch]) -> None:
        """Read what `add` needs for these events: the items' categories, and shards not met before.

        Raises OnlineStoreError, and TooManyPartitionsError where a partition has no shard.
        """
        batches = list(batches)
        self._categories.load({event.item_id for batch in batches for _, event in batch.events})
        needed: dict[tuple[str, int], None] = {}
        for batch in batches:
            if batch.partition >= MAX_POPULAR_SHARDS:
                raise TooManyPartitionsError(batch.partition + 1)
            scopes = {self._categories.scope(event.item_id) for _, event in batch.events}
            needed |= dict.fromkeys((scope, batch.partition) for scope in sorted({ALL, *scopes}))
        cold = [shard for shard in needed if shard not in self._shards]
        found = self._rows.read([(POPULAR_ITEMS, popular_key(*shard)) for shard in cold])
        for shard in needed:
            if (known := self._shards.pop(shard, None)) is not None:
                self._shards[shard] = known  # used last
        for shard, fields in zip(cold, found, strict=True):
            self._shards[shard] = PopularityShard.from_fields(fields)

    def add(self, partition: int, events: Iterable[Event]) -> None:
        """Count events of a batch that was loaded; what is taken out of the cart is no sign of interest."""
        removal, scope_of = EventType.REMOVE_FROM_CART, self._categories.scope
        counted = [(event.item_id, event.timestamp_ms) for event in events if event.event_type is not removal]
        if not counted:
            return
        of_scope = {ALL: counted}
        for entry in counted:
            if (scope := scope_of(entry[0])) != ALL:
                of_scope.setdefault(scope, []).append(entry)
        for scope, entries in of_scope.items():
            self._shards[scope, partition].add(entries)
            self._dirty.add((scope, partition))

    def dirty_rows(self) -> list[EncodedRow]:
        """Rows of the shards that have changed since `written`."""
        return [
            EncodedRow(POPULAR_ITEMS, popular_key(*shard), self._shards[shard].encoded())
            for shard in sorted(self._dirty)
        ]

    def written(self) -> None:
        """What `dirty_rows` returned is in the store."""
        self._dirty.clear()
        for shard in list(islice(self._shards, max(0, len(self._shards) - self.CAPACITY))):
            del self._shards[shard]

    def drop(self, partitions: Collection[int]) -> None:
        """Forget partitions that another consumer may write from now on."""
        for shard in [shard for shard in self._shards if shard[1] in partitions]:
            del self._shards[shard]
            self._dirty.discard(shard)

    def clear(self) -> None:
        """Forget everything but categories."""
        self._shards.clear()
        self._dirty.clear()


class Categories:
    """Scope of each item by the catalogue, as it was at most a minute ago; ALL where the catalogue knows none."""

    CAPACITY = 200_000
    FRESH_SECONDS = 60.0

    def __init__(self, rows: RedisRows) -> None:
        self._rows = rows
        self._known: OrderedDict[str, tuple[str, float]] = OrderedDict()

    def load(self, item_ids: Collection[str]) -> None:
        """Read the items that are not known, or not lately; raises OnlineStoreError."""
        now = time.monotonic()
        known = self._known
        unknown = [item_id for item_id in item_ids if item_id not in known or known[item_id][1] < now]
        found = self._rows.read([(ITEM_PROFILE, item_id) for item_id in unknown])
        for item_id, fields in zip(unknown, found, strict=True):
            category = decode_value(FeatureType.STRING, fields[_CATEGORY_FIELD]) if fields else ""
            known[item_id] = (popular_scope(category or ""), now + self.FRESH_SECONDS)
            known.move_to_end(item_id)
        while len(known) > max(self.CAPACITY, len(item_ids)):
            known.popitem(last=False)

    def scope(self, item_id: str) -> str:
        """The scope of an item that was loaded."""
        return self._known[item_id][0]
