"""Feast's `Value` messages for the features of hot rows, put together from pieces that are encoded once an event.

Re-encoding a whole session at each event costs time in proportion to its length; joining pieces hardly does. The body
of a list is its entries one after the other, without the message around them. Tests hold every function here to
`redis_layout.encode_value`. Encoding: https://protobuf.dev/programming-guides/encoding/
"""

import struct
from collections.abc import Sequence

_STRING_VAL, _INT64_VAL = b"\x12", b"\x20"  # tag: field number << 3 | wire type
_STRING_LIST, _INT64_LIST, _DOUBLE_LIST = b"\x62", b"\x72", b"\x7a"
_ENTRY = b"\x0a"
_CONTINUED = bytes(range(128, 256))
"""Bytes of a varint other than its last."""


def varint(value: int) -> bytes:
    """A whole number from 0 to 2**64 - 1."""
    if 1 << 35 <= value < 1 << 42:  # milliseconds of the years 1971 to 2109
        return bytes(
            (
                value & 127 | 128,
                value >> 7 & 127 | 128,
                value >> 14 & 127 | 128,
                value >> 21 & 127 | 128,
                value >> 28 & 127 | 128,
                value >> 35,
            )
        )
    if 1 << 28 <= value < 1 << 35:  # seconds of those years, most parts of a second in ns
        return bytes(
            (
                value & 127 | 128,
                value >> 7 & 127 | 128,
                value >> 14 & 127 | 128,
                value >> 21 & 127 | 128,
                value >> 28,
            )
        )
    groups = []
    while value > 127:
        groups.append(value & 127 | 128)
        value >>= 7
    return bytes((*groups, value))


_VARINTS = tuple(varint(value) for value in range(1 << 12))
_ENTRIES = tuple(_ENTRY + length for length in _VARINTS)


def _length(size: int) -> bytes:
    return _VARINTS[size] if size < len(_VARINTS) else varint(size)


def string_entry(text: str) -> bytes:
    """One entry of a string list."""
    raw = text.encode()
    size = len(raw)
    return (_ENTRIES[size] if size < len(_ENTRIES) else _ENTRY + varint(size)) + raw


def string_list(body: bytes | bytearray) -> bytes:
    """A Value of a body of `string_entry` pieces."""
    return _STRING_LIST + _length(len(body)) + body


def int64_list(body: bytes | bytearray) -> bytes:
    """A Value of a body of `varint` pieces; at least one."""
    packed = _ENTRY + _length(len(body)) + body
    return _INT64_LIST + _length(len(packed)) + packed


def string_list_body(value: bytes) -> bytearray | None:
    """What `string_list` put together; None for what it does not write."""
    return _inner(value, _STRING_LIST)


def int64_list_body(value: bytes) -> bytearray | None:
    """What `int64_list` put together; None for what it does not write."""
    packed = _inner(value, _INT64_LIST)
    return _inner(packed, _ENTRY) if packed else None


def _inner(message: bytes | bytearray, tag: bytes) -> bytearray | None:
    """The only field of a message, if it has this tag."""
    if message[:1] != tag:
        return None
    try:
        size, start = _read_varint(message, 1)
    except IndexError:
        return None
    if start + size != len(message) or message[1:start] != _length(size):
        return None
    return bytearray(memoryview(message)[start:])


def first_entry_size(body: bytes | bytearray) -> int:
    """Bytes of the first entry of a string list's body."""
    size, start = _read_varint(body, 1)
    return start + size


def first_varint_size(body: bytes | bytearray) -> int:
    """Bytes of the first number."""
    return _read_varint(body, 0)[1]


def last_varint(body: bytes | bytearray) -> int:
    """The last number."""
    start = len(body) - 1
    while start and body[start - 1] > 127:
        start -= 1
    return _read_varint(body, start)[0]


def count_varints(body: bytes | bytearray) -> int:
    """How many numbers there are."""
    return len(body.translate(None, _CONTINUED))


def _read_varint(raw: bytes | bytearray, at: int) -> tuple[int, int]:
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
    encoded = b"\x08" + varint(seconds) if seconds else b""
    return encoded + b"\x10" + varint(milliseconds * 1_000_000) if milliseconds else encoded
