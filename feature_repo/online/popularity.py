"""Popular items by time-decayed counts: kept by scope and shard (streaming), added up over the shards (serving).

Forward decay (Cormode et al., "Forward Decay: A Practical Time Decay Model for Streaming Systems", ICDE 2009): an event
weighs 2 ** (its time since a landmark / half-life), so that nothing stored has to change as time passes. The landmark
moves by whole half-lives, which scales scores by a power of two and so rounds nothing.
"""

from collections.abc import Iterable
from typing import Self

from feature_repo.online import wire_values
from feature_repo.online.redis_layout import Encoded, decode_timestamp, decode_value
from feature_repo.schema import MAX_CANDIDATES, MAX_POPULAR_ITEMS, POPULARITY_HALF_LIFE
from feature_repo.views import FeatureType, Row

_HALF_LIFE_MS = int(POPULARITY_HALF_LIFE.total_seconds() * 1000)
_MOVE_AFTER = 64
"""Half-lives from the landmark at which it moves: far from where numbers overflow."""


class PopularityShard:
    """Decayed counts of the items of one scope in one partition. The result depends on the order of `add` alone.

    Once there are more than 2 * MAX_POPULAR_ITEMS items, the lesser half is forgotten. Items are stored in the order in
    which they came: sorting them would cost at each batch, and readers have to add shards up before they can sort.
    """

    def __init__(self) -> None:
        self._scores: dict[str, float] = {}
        self._landmark_ms = 0
        self._newest_ms = 0
        self._ids = bytearray()
        """Ids of the scores, in their order, encoded."""

    @classmethod
    def from_fields(cls, fields: Encoded | None) -> Self:
        """From what `encoded` returned, read back from the store; empty where there is no row."""
        shard = cls()
        if fields and fields[-1]:
            scores = decode_value(FeatureType.DOUBLE_LIST, fields[1])
            shard._keep(dict(zip(decode_value(FeatureType.STRING_LIST, fields[0]), scores, strict=True)))
            shard._landmark_ms = decode_value(FeatureType.INT64, fields[2])
            shard._newest_ms = decode_timestamp(fields[-1])
        return shard

    def add(self, events: Iterable[tuple[str, int]]) -> None:
        """Count events, one after the other: item_id and timestamp_ms of each."""
        for item_id, timestamp_ms in events:
            age = (timestamp_ms - self._landmark_ms) / _HALF_LIFE_MS
            if age > _MOVE_AFTER:
                age = self._move_landmark(timestamp_ms)
            scores = self._scores
            if item_id in scores:
                scores[item_id] += 2.0**age
            else:
                scores[item_id] = 2.0**age
                self._ids += wire_values.string_entry(item_id)
                if len(scores) > 2 * MAX_POPULAR_ITEMS:
                    self._keep({kept: scores[kept] for kept in _best_first(scores)[:MAX_POPULAR_ITEMS]})
            if timestamp_ms > self._newest_ms:
                self._newest_ms = timestamp_ms

    def encoded(self) -> list[bytes]:
        """Values in the order of the view's features, then the row's time, as the online store keeps them."""
        return [
            wire_values.string_list(bytes(self._ids)),
            wire_values.double_list(list(self._scores.values())),
            wire_values.int64(self._landmark_ms),
            wire_values.timestamp(self._newest_ms),
        ]

    def _keep(self, scores: dict[str, float]) -> None:
        self._scores = scores
        self._ids = bytearray(b"".join(map(wire_values.string_entry, scores)))

    def _move_landmark(self, timestamp_ms: int) -> float:
        steps = (timestamp_ms - self._landmark_ms) // _HALF_LIFE_MS
        self._landmark_ms += steps * _HALF_LIFE_MS
        decay = 2.0 ** -min(steps, 2000)  # 0 when everything so far is too old to count
        self._keep({item_id: score * decay for item_id, score in self._scores.items() if score * decay})
        return (timestamp_ms - self._landmark_ms) / _HALF_LIFE_MS


def merge_popular(rows: Iterable[Row], now_ms: int) -> list[tuple[str, float]]:
    """(item_id, score) added up over shards, best first, at most MAX_CANDIDATES; an event of right now counts 1."""
    totals: dict[str, float] = {}
    for row in rows:
        decay = 2.0 ** ((row.values["landmark_ms"] - now_ms) / _HALF_LIFE_MS)
        for item_id, score in zip(row.values["item_ids"], row.values["scores"], strict=True):
            totals[item_id] = totals.get(item_id, 0.0) + score * decay
    return [(item_id, totals[item_id]) for item_id in _best_first(totals)[:MAX_CANDIDATES]]


def _best_first(scores: dict[str, float]) -> list[str]:
    """Ties by id. Two sorts without a Python call for each item."""
    item_ids = sorted(scores)
    item_ids.sort(key=scores.__getitem__, reverse=True)
    return item_ids
