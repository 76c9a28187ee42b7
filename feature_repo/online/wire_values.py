"""Feast's `Value` messages for the features of hot rows, put together from pieces that are encoded once an event.

Re-encoding a whole session at each event costs time in proportion to its length; joining pieces hardly does. The body
of a list is its entries one after the other, without the message around them. Tests hold every function here to
`redis_layout.encode_value`. Encoding: https://protobuf.dev/programming-guides/encoding/
"""

import struct
from collections.abc import Iterable, Sequence
from functools import lru_cache

_STRING_VAL, _INT64_VAL = b"\x12", b"\x20"  # tag: field number << 3 | wire type
_STRING_LIST, _INT64_LIST, _DOUBLE_LIST = b"\x62", b"\x72", b"\x7a"
_ENTRY = b"\x0a"
_CONTINUED = bytes(range(128, 256))
"""Bytes of a varint other than its last."""


def _varint(value: int) -> bytes:
    groups = []
    while value > 127:
        groups.append(value & 127 | 128)
        value >>= 7
    return bytes((*groups, value))


_VARINTS = tuple(_varint(value) for value in range(1 << 13))
_CONTINUED_PAIRS = tuple(bytes((value & 127 | 128, value >> 7 | 128)) for value in range(1 << 14))
"""The first two bytes of a longer varint, by its lowest 14 bits."""

_ENTRIES, _STRINGS, _STRING_LISTS, _INT64_LISTS_OUTSIDE = (
    tuple(tag + length for length in _VARINTS) for tag in (_ENTRY, _STRING_VAL, _STRING_LIST, _INT64_LIST)
)
"""What stands before so many bytes."""

_INT64_LISTS = tuple(
    _INT64_LIST + _varint(1 + len(length) + size) + _ENTRY + length for size, length in enumerate(_VARINTS)
)
_NANOSECONDS = (b"", *(b"\x10" + _varint(milliseconds * 1_000_000) for milliseconds in range(1, 1000)))


def varint(value: int) -> bytes:
    """A whole number from 0 to 2**64 - 1."""
    if 1 << 28 <= value < 1 << 41:  # milliseconds of the years 1970 to 2039
        return _CONTINUED_PAIRS[value & 0x3FFF] + _CONTINUED_PAIRS[value >> 14 & 0x3FFF] + _VARINTS[value >> 28]
    return _varint(value)


def _length(size: int) -> bytes:
    return _VARINTS[size] if size < len(_VARINTS) else varint(size)


def string_entry(text: str) -> bytes:
    """One entry of a string list."""
    raw = text.encode()
    size = len(raw)
    return (_ENTRIES[size] if size < len(_ENTRIES) else _ENTRY + varint(size)) + raw


def string_entries(texts: Iterable[str]) -> list[bytes]:
    """`string_entry` of each."""
    raw = [text.encode() for text in texts]
    try:
        return [_ENTRIES[len(entry)] + entry for entry in raw]
    except IndexError:
        return [_ENTRY + _length(len(entry)) + entry for entry in raw]


def string_list(body: bytes) -> bytes:
    """A Value of a body of `string_entry` pieces."""
    return _STRING_LIST + _length(len(body)) + body


def lists(bodies: Sequence[bytes], numbers_at: int) -> list[bytes]:
    """The `int64_list` of the body at `numbers_at`, and the `string_list` of each other."""
    try:
        values = [_STRING_LISTS[len(body)] + body for body in bodies]
    except IndexError:
        values = list(map(string_list, bodies))
    values[numbers_at] = int64_list(bodies[numbers_at])
    return values


def int64_list(body: bytes) -> bytes:
    """A Value of a body of `varint` pieces; at least one."""
    size = len(body)
    if size < len(_INT64_LISTS):
        return _INT64_LISTS[size] + body
    packed = _ENTRY + varint(size) + body
    return _INT64_LIST + varint(len(packed)) + packed


def list_bodies(values: Sequence[bytes | None], numbers_at: int) -> list[bytes] | None:
    """What `lists` put together; None for what it does not write, and where a list is empty."""
    bodies: list[bytes] = []
    for place, value in enumerate(values):
        body_of = int64_list_body if place == numbers_at else string_list_body
        if not (body := body_of(value) if value else None):
            return None
        bodies.append(body)
    return bodies


def string_list_body(value: bytes) -> bytes | None:
    """What `string_list` put together; None for what it does not write."""
    return _inner(value, _STRING_LISTS)


def int64_list_body(value: bytes) -> bytes | None:
    """What `int64_list` put together; None for what it does not write."""
    packed = _inner(value, _INT64_LISTS_OUTSIDE)
    return _inner(packed, _ENTRIES) if packed else None


def _inner(message: bytes, heads: Sequence[bytes]) -> bytes | None:
    """The only field of a message, if it has one of these heads. The size of the whole tells the size of its parts."""
    size = len(message)
    if size < 2:
        return None
    inside = size - (2 if size < 2 + (1 << 7) else 3 if size < 3 + (1 << 14) else 4)
    head = heads[inside] if inside < len(heads) else heads[0][:1] + varint(inside)
    return message[len(head) :] if len(head) + inside == size and message.startswith(head) else None


def entries_size(body: bytes, count: int) -> int:
    """Bytes of the first entries of a string list's body."""
    at = 0
    for _ in range(count):
        if (size := body[at + 1]) < 128:
            at += 2 + size
        else:
            size, start = _read_varint(body, at + 1)
            at = start + size
    return at


def varints_size(body: bytes, count: int) -> int:
    """Bytes of the first numbers."""
    at = 0
    for _ in range(count):
        while body[at] > 127:
            at += 1
        at += 1
    return at


def last_varint(body: bytes) -> int:
    """The last number."""
    at = len(body) - 1
    value = body[at]
    while at and (byte := body[at - 1]) > 127:
        value = value << 7 | byte & 127
        at -= 1
    return value


def count_varints(body: bytes) -> int:
    """How many numbers there are."""
    return len(body.translate(None, _CONTINUED))


def _read_varint(raw: bytes, at: int) -> tuple[int, int]:
    """The number, and where the next byte lies."""
    value = shift = 0
    while (byte := raw[at]) > 127:
        value |= (byte & 127) << shift
        shift += 7
        at += 1
    return value | byte << shift, at + 1


def double_list(values: Sequence[float]) -> bytes:
    """A Value of numbers; at least one."""
    packed = _ENTRY + _length(8 * len(values)) + struct.pack(f"<{len(values)}d", *values)
    return _DOUBLE_LIST + _length(len(packed)) + packed


def string_text(value: bytes) -> str | None:
    """What `string` was given; None for what it does not write, and for the empty message."""
    raw = _inner(value, _STRINGS)
    return None if raw is None else raw.decode()


def int64_number(value: bytes) -> int | None:
    """What `int64` was given; None for what it does not write, and for 2**63 and more."""
    if value[:1] != _INT64_VAL or not 2 <= len(value) <= 10 or value[-1] > 127:
        return None
    number, end = _read_varint(value, 1)
    return number if end == len(value) else None


def string(text: str | None) -> bytes:
    """A Value of one string; None is the empty message."""
    if text is None:
        return b""
    raw = text.encode()
    return _STRING_VAL + _length(len(raw)) + raw


def int64(value: int) -> bytes:
    """A Value of one number, 0 or more."""
    return _INT64_VAL + varint(value)


def timestamp(timestamp_ms: int) -> bytes:
    """A `google.protobuf.Timestamp`, the time of a row; 0 or more."""
    seconds, milliseconds = divmod(timestamp_ms, 1000)
    return _seconds(seconds) + _NANOSECONDS[milliseconds]


@lru_cache(maxsize=4096)
def _seconds(seconds: int) -> bytes:
    return b"\x08" + varint(seconds) if seconds else b""
