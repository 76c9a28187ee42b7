"""Writes the catalogue: item rows, deletions and the availability log together, as far as a partition was read.

A batch that comes again changes nothing, and one that another writer has overtaken is left out, so that of one item the
value with the highest offset stays, whoever wrote it and whenever.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from feature_repo.errors import OnlineStoreError
from feature_repo.online.availability import note_command
from feature_repo.online.redis_layout import LAYOUTS, row_key
from feature_repo.online.redis_rows import RedisRows
from feature_repo.online.rows import EncodedRow
from feature_repo.schema import Item
from feature_repo.settings import SharedSettings
from feature_repo.views import ITEM_PROFILE, item_to_row
from streaming.kafka.batches import PartitionBatch, check_starts

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
class CatalogueBatch(PartitionBatch):
    """What messages of one partition say of items."""

    changes: Mapping[str, Change] = field(default_factory=dict)
    """The last change of each item, by its id."""


class CatalogueStore:
    """Writes all batches in one transaction, with the position reached in each partition. For one thread.

    `write` raises OnlineStoreError; then the same batches may come again. If that is a StoreBehindError, they may come
    after those that the store lacks.
    """

    def __init__(self, settings: SharedSettings) -> None:
        self._rows = RedisRows(settings)

    def write(self, batches: Sequence[CatalogueBatch]) -> None:
        """Store the changes that the store does not have yet."""
        for _ in range(_ATTEMPTS):
            if self._write_once(batches):
                return
        raise OnlineStoreError("other consumers keep writing the same items: is CATALOGUE_GROUP the same for all?")

    def check(self, batches: Sequence[CatalogueBatch]) -> None:
        """Raise StoreBehindError if the store lacks what comes before one of the batches; write nothing."""
        check_starts(batches, self._rows.begin([batch.position_name for batch in batches], []).positions)

    def close(self) -> None:
        """Give the connection back."""
        self._rows.close()

    def _write_once(self, batches: Sequence[CatalogueBatch]) -> bool:
        names = [batch.position_name for batch in batches]
        begun = self._rows.begin(names, [])
        positions = begun.positions
        check_starts(batches, positions)
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
