"""Writes the catalogue: item rows, deletions and the availability log together, as far as a partition was read.

A batch that comes again changes nothing, and one that another writer has overtaken is left out, so that of one item the
value with the highest offset stays, whoever wrote it and whenever.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from feature_repo.errors import OnlineStoreError
from feature_repo.online.availability import note_command
from feature_repo.online.redis_layout import LAYOUTS, row_key
from feature_repo.online.redis_rows import RedisRows
from feature_repo.online.rows import EncodedRow, check_follows
from feature_repo.schema import Item
from feature_repo.settings import SharedSettings
from feature_repo.views import ITEM_PROFILE, item_to_row

_ATTEMPTS = 20


@dataclass(frozen=True, slots=True)
class Change:
    """What a message says of one item."""

    offset: int
    timestamp_ms: int
    """The message's own, so that a replay writes the same row."""
    item: Item | None
    """None deletes the item."""


@dataclass(frozen=True, slots=True)
class CatalogueBatch:
    """The last change of each item, by its id, among messages of one partition."""

    topic_id: str
    partition: int
    changes: Mapping[str, Change]
    next_offset: int
    follows: int = 0
    """Offset up to which the store must have the partition, as messages from there on are in this batch."""

    @property
    def position_name(self) -> str:
        """Names the partition in the online store; a topic that was created anew has another id."""
        return f"{self.topic_id}/{self.partition}"


class CatalogueStore(Protocol):
    """For one thread. `write` raises OnlineStoreError; then the same batches may come again.

    If that is a StoreBehindError, after those that the store lacks; `check` raises it, and writes nothing.
    """

    def write(self, batches: Sequence[CatalogueBatch]) -> None: ...

    def check(self, batches: Sequence[CatalogueBatch]) -> None: ...

    def close(self) -> None: ...


def open_catalogue_store(settings: SharedSettings) -> CatalogueStore:
    """The catalogue in the online store that REDIS_URL names."""
    return _RedisCatalogue(settings)


class _RedisCatalogue:
    """All batches in one transaction, with the position reached in each partition."""

    def __init__(self, settings: SharedSettings) -> None:
        self._rows = RedisRows(settings)

    def write(self, batches: Sequence[CatalogueBatch]) -> None:
        for _ in range(_ATTEMPTS):
            if self._write_once(batches):
                return
        raise OnlineStoreError("other consumers keep writing the same items: is CATALOGUE_GROUP the same for all?")

    def check(self, batches: Sequence[CatalogueBatch]) -> None:
        check_follows(batches, self._rows.begin([batch.position_name for batch in batches], []))

    def close(self) -> None:
        self._rows.close()

    def _write_once(self, batches: Sequence[CatalogueBatch]) -> bool:
        names = [batch.position_name for batch in batches]
        begun = self._rows.begin(names, [])
        check_follows(batches, begun)
        positions = begun.positions
        changes: dict[str, Change] = {}
        for batch, position in zip(batches, positions, strict=True):
            changes |= {key: change for key, change in batch.changes.items() if change.offset >= position}
        reached = {
            batch.position_name: max(position, batch.next_offset)
            for batch, position in zip(batches, positions, strict=True)
        }
        commands = [("DEL", row_key(ITEM_PROFILE, item_id)) for item_id in _deleted(changes)]
        notes = [note_command(_available(changes))] if changes else []
        return self._rows.commit(reached, _rows(changes), [*commands, *notes])


def _rows(changes: Mapping[str, Change]) -> list[EncodedRow]:
    layout = LAYOUTS[ITEM_PROFILE.name]
    return [
        EncodedRow(ITEM_PROFILE, item_id, layout.encode(item_to_row(change.item, change.timestamp_ms)))
        for item_id, change in changes.items()
        if change.item is not None
    ]


def _deleted(changes: Mapping[str, Change]) -> list[str]:
    return [item_id for item_id, change in changes.items() if change.item is None]


def _available(changes: Mapping[str, Change]) -> dict[str, bool]:
    return {item_id: change.item is not None and change.item.available for item_id, change in changes.items()}
