"""The one artefact that ties strings to indices: fitted with the workflow, exported into the models, hashed."""

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Self

from feature_repo.schema import FIRST_INDEX

VOCABULARY_FILE = "vocabulary.json"


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """Entry i of a list has index FIRST_INDEX + i; the indices below are reserved (see `feature_repo.schema`)."""

    item_ids: tuple[str, ...]
    event_types: tuple[str, ...]
    categories: tuple[str, ...]
    gap_boundaries_ms: tuple[int, ...]
    """Lower bounds of gap buckets 1, 2, …; bucket 0 is "no event before"."""

    @property
    def item_count(self) -> int:
        """Rows of an item embedding, reserved ones included."""
        return FIRST_INDEX + len(self.item_ids)

    @property
    def event_type_count(self) -> int:
        """Rows of an event-type embedding, reserved ones included."""
        return FIRST_INDEX + len(self.event_types)

    @property
    def category_count(self) -> int:
        """Rows of a category embedding, reserved ones included."""
        return FIRST_INDEX + len(self.categories)

    @property
    def gap_bucket_count(self) -> int:
        """Rows of a gap embedding, bucket 0 included."""
        return 1 + len(self.gap_boundaries_ms)

    def to_json(self) -> bytes:
        """Canonical: equal vocabularies have equal bytes."""
        return json.dumps(asdict(self), ensure_ascii=False, sort_keys=True, separators=(",", ":")).encode()

    @property
    def sha256(self) -> str:
        """Hexadecimal hash of `to_json`, which is also that of the run's vocabulary.json."""
        return hashlib.sha256(self.to_json()).hexdigest()

    def save(self, folder: Path) -> None:
        """Write `folder`/vocabulary.json."""
        (folder / VOCABULARY_FILE).write_bytes(self.to_json())

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read what `save` wrote."""
        plain = json.loads((folder / VOCABULARY_FILE).read_bytes())
        return cls(**{name: tuple(values) for name, values in plain.items()})
