"""The list features of a stored row as bytes, to which newer events are appended without decoding those before.

Most rows that a consumer reads back take an event or two, newer than all they hold. Decoding and encoding hundreds of
events for that takes many times as long as moving their bytes.
"""

from collections.abc import Sequence
from typing import Self

from feature_repo import wire_values

EVENT_IDS, TIMES = 0, 3
"""Places of these lists among a row's: the others, and their number, are the view's own."""


class PackedLists:
    """Lists of one length, as many as the view has; times are whole numbers in order, all others strings."""

    __slots__ = ("_bodies", "_last_ms", "_length", "appended")

    def __init__(self, bodies: list[bytearray]) -> None:
        self._bodies = bodies
        self._length = wire_values.count_varints(bodies[TIMES])
        self._last_ms = wire_values.last_varint(bodies[TIMES])
        self.appended = 0
        """Events since the row was read."""

    @classmethod
    def of(cls, fields: Sequence[bytes | None]) -> Self | None:
        """None where the values are not laid out as `encoded` does it, which another writer of the store may do."""
        bodies = [
            wire_values.int64_list_body(field) if place == TIMES else wire_values.string_list_body(field)
            for place, field in enumerate(fields)
            if field is not None
        ]
        known = [body for body in bodies if body]
        return cls(known) if len(known) == len(fields) else None

    def __len__(self) -> int:
        return self._length

    @property
    def timestamp_ms(self) -> int:
        """Time of the newest event."""
        return self._last_ms

    def may_hold(self, event_id: bytes) -> bool:
        """Whether the event with this entry may be among them; never false for one that is."""
        return event_id in self._bodies[EVENT_IDS]

    def append(self, timestamp_ms: int, entries: Sequence[bytes], limit: int) -> None:
        """Add an event newer than all others, an entry for each list; the oldest leaves a list of `limit`."""
        if self._length == limit:
            for place, body in enumerate(self._bodies):
                del body[
                    : wire_values.first_varint_size(body) if place == TIMES else wire_values.first_entry_size(body)
                ]
        else:
            self._length += 1
        for body, entry in zip(self._bodies, entries, strict=True):
            body += entry
        self._last_ms = timestamp_ms
        self.appended += 1

    def encoded(self) -> list[bytes]:
        """The values that the store keeps."""
        return [
            wire_values.int64_list([body]) if place == TIMES else wire_values.string_list([body])
            for place, body in enumerate(self._bodies)
        ]
