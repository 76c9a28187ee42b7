"""Feast's `Value` messages for the features of hot rows, put together from pieces that are encoded once an event.

Re-encoding a whole session at each event costs time in proportion to its length; joining pieces hardly does. Tests hold
every function here to `redis_layout.encode_value`. Encoding: https://protobuf.dev/programming-guides/encoding/
"""

import struct
from collections.abc import Sequence

_STRING_VAL, _INT64_VAL = b"\x12", b"\x20"  # tag: field number << 3 | wire type
_STRING_LIST, _INT64_LIST, _DOUBLE_LIST = b"\x62", b"\x72", b"\x7a"
_ENTRY = b"\x0a"


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


def string_list(entries: Sequence[bytes]) -> bytes:
    """A Value of `string_entry` pieces."""
    body = b"".join(entries)
    return _STRING_LIST + _length(len(body)) + body


def int64_list(entries: Sequence[bytes]) -> bytes:
    """A Value of `varint` pieces; at least one."""
    body = b"".join(entries)
    packed = _ENTRY + _length(len(body)) + body
    return _INT64_LIST + _length(len(packed)) + packed


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
