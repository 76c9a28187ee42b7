"""Rows of the online store on their way to a store and back: what every store speaks."""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple, Protocol

from msgspec import Struct

from feature_repo.online.redis_layout import Encoded
from feature_repo.views import View

Wanted = Sequence[tuple[View, str]]
"""View and key of each row that is asked for."""


class EncodedRow(Struct, frozen=True):
    """A row ready to be stored."""

    view: View
    key: str
    values: Sequence[bytes]
    """As Encoded, with every value."""
    sets_expiry: bool = True
    """Whether the row's life in the store starts anew."""


class Begun(NamedTuple):
    """What is read before a batch is folded."""

    positions: list[int]
    """0 where there is none."""
    rows: list[Encoded | None]
    shared: list[tuple[int, Encoded | None]]
    """Rows with their revision, as `read_revised`."""
    rewrites: int = 0
    """Changes whenever somebody rewrote rows without moving a position on, so that what is remembered may be old."""
    forgets_positions: bool = False
    """Whether 0 may also stand for a position that only another process knows."""


class Rows(Protocol):
    """What a store does with encoded rows, as `RedisRows` says."""

    def write(self, rows: Sequence[EncodedRow]) -> None: ...

    def read(self, wanted: Wanted) -> list[Encoded | None]: ...

    def delete(self, rows: Wanted) -> None: ...

    def begin(self, partitions: Sequence[str], wanted: Wanted, shared: Wanted = ()) -> Begun: ...

    def send_commit(
        self, positions: Mapping[str, int], rows: Sequence[EncodedRow], *, is_rewrite: bool
    ) -> Callable[[], bool]: ...

    def read_revised(self, wanted: Wanted) -> list[tuple[int, Encoded | None]]: ...

    def send_swap(self, rows: Sequence[EncodedRow], revisions: Sequence[int]) -> Callable[[], list[bool]]: ...

    def close(self) -> None: ...
