"""Rows of the online store on their way to it and back."""

from collections.abc import Sequence
from typing import NamedTuple, Protocol, TypeVar

from msgspec import Struct

from feature_repo.online.redis_layout import Encoded
from feature_repo.views import View

Wanted = Sequence[tuple[View, str]]
"""View and key of each row that is asked for."""

Answer_co = TypeVar("Answer_co", covariant=True)


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


class Sending(Protocol[Answer_co]):
    """What was sent to the store, and not answered yet."""

    def wait(self) -> Answer_co:
        """The store's answer. Call it once, and in the order of sending. Raises OnlineStoreError."""
