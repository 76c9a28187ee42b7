"""The list features of a row as the bytes that are stored, to which newer events are appended without decoding any.

Nearly every event is newer than all that its session or user has done. Decoding, or keeping as objects, hundreds of
events to add such a one takes many times as long as moving their bytes.
"""

from collections.abc import Sequence
from operator import add
from typing import Self

from feature_repo import wire_values

EVENT_IDS, TIMES = 0, 3
"""Places of these lists among a row's: the others, and their number, are the view's own."""


class PackedLists:
    """Lists of one length, as many as the view has; times are whole numbers in order, all others strings."""

    __slots__ = ("_bodies", "_length", "timestamp_ms")

    def __init__(self, bodies: list[bytes], length: int, timestamp_ms: int) -> None:
        self._bodies = bodies
        self._length = length
        self.timestamp_ms = timestamp_ms
        """Time of the newest event; less than any while there is none."""

    @classmethod
    def empty(cls, lists: int) -> Self:
        """So many lists without an entry."""
        return cls([b""] * lists, 0, -1)

    @classmethod
    def of(cls, fields: Sequence[bytes | None]) -> Self | None:
        """None where the values are not laid out as `encoded` does it, which another writer of the store may do."""
        bodies: list[bytes] = []
        for place, field in enumerate(fields):
            of_field = wire_values.int64_list_body if place == TIMES else wire_values.string_list_body
            body = of_field(field) if field else None
            if not body:
                return None
            bodies.append(body)
        times = bodies[TIMES]
        return cls(bodies, wire_values.count_varints(times), wire_values.last_varint(times))

    def __len__(self) -> int:
        return self._length

    def append(self, timestamp_ms: int, entries: Sequence[bytes], limit: int) -> bool:
        """Add an event with an entry for each list, and perhaps more; the oldest leaves a list of `limit`.

        False, with nothing done, if it is no newer than all others, or perhaps known by its id.
        """
        bodies = self._bodies
        if timestamp_ms <= self.timestamp_ms or entries[EVENT_IDS] in bodies[EVENT_IDS]:
            return False
        if self._length == limit:
            bodies = [
                body[wire_values.first_varint_size(body) if place == TIMES else wire_values.first_entry_size(body) :]
                for place, body in enumerate(bodies)
            ]
        else:
            self._length += 1
        self._bodies = list(map(add, bodies, entries))
        self.timestamp_ms = timestamp_ms
        return True

    def encoded(self) -> list[bytes]:
        """The values that the store keeps."""
        values = wire_values.string_lists(self._bodies)
        values[TIMES] = wire_values.int64_list(self._bodies[TIMES])
        return values
