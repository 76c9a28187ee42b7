"""What a field may hold, at whichever edge it comes in: the stream, a file, a data set, a request.

A check takes the field's name and a stranger's value. It returns the value, or raises FieldError with what was
expected, what was found and the reason.
"""

import math
import re
import time
from datetime import timedelta

from feature_repo.errors import FieldError, Reason
from feature_repo.schema import (
    EVENT_TYPES,
    MAX_ATTRIBUTE_LENGTH,
    MAX_CLOCK_SKEW,
    MAX_ID_LENGTH,
    MAX_TIMESTAMP_MS,
    MAX_WHOLE,
    MIN_WHOLE,
    SESSION_TTL,
    EventType,
)

MAX_PRICE = 2.0**53
"""Up to here every whole price is exact as a float."""

UNFIT = "\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069"
"""Inside of a character class: C0, DEL, C1, separators of lines, and marks that turn the direction of text around.

None may stand in an id. NUL ends a string for pandas, so two ids would be one in training; the others show as nothing,
or as something else, wherever a person reads an id.
"""

_UNFIT = re.compile(f"[{UNFIT}\\ud800-\\udfff]")  # half a surrogate pair cannot be written as UTF-8

_ID = f"a string of 1 to {MAX_ID_LENGTH} characters without control characters"
_TIME = "whole milliseconds since 1970 (UTC), before the year 10000"
_VALUE = f"a string of at most {MAX_ATTRIBUTE_LENGTH} characters, a finite number of 64 bits, true or false"
_PRICE = f"a number from 0 to {MAX_PRICE:.0f}"

MAX_SKEW_MS = int(MAX_CLOCK_SKEW.total_seconds() * 1000)
MAX_AGE_MS = int(SESSION_TTL.total_seconds() * 1000)
_DAY_MS = int(timedelta(days=1).total_seconds() * 1000)
_YEAR_1990_MS = 631_152_000_000

_UNITS = (("seconds", 1000, 1), ("microseconds", 1, 1000), ("nanoseconds", 1, 1_000_000))
"""A unit that a time may be in by mistake, and what to multiply it by and to divide it by to have milliseconds."""


def check_id(field: str, value: object, expected: str = _ID) -> str:
    """An id: it is there, of bounded length, and can be read."""
    if type(value) is str and 0 < len(value) <= MAX_ID_LENGTH and (value.isprintable() or is_readable(value)):
        return value
    if value is None or value == "":
        raise FieldError(field, f"{expected}, found nothing", Reason.MISSING)
    if type(value) is not str:
        raise FieldError(field, f"{expected}, found {_kind(value)}", Reason.WRONG_TYPE)
    if len(value) > MAX_ID_LENGTH:
        raise FieldError(field, f"{expected}, found {len(value)}", Reason.TOO_LONG)
    raise FieldError(field, f"{expected}, found {_UNFIT.findall(value)[0]!a}", Reason.CONTROL_CHARACTER)


def check_optional_id(field: str, value: object) -> str | None:
    """An id that may be missing; an empty one is missing."""
    return None if value is None or value == "" else check_id(field, value)


def is_readable(text: str) -> bool:
    """Whether it holds none of the characters that no id may hold."""
    # What is printable holds none of them either, and is found out in a tenth of the time.
    return text.isprintable() or not _UNFIT.search(text)


def check_name(field: str, value: object) -> str:
    """What many items share, as a category; "" where it is missing. Training tells names apart as it does ids."""
    return "" if value is None or value == "" else check_id(field, value)


def check_text(field: str, value: object, limit: int) -> str:
    """Free text of at most `limit` characters, "" where it is missing."""
    if value is None:
        return ""
    expected = f"a string of at most {limit} characters"
    if type(value) is not str:
        raise FieldError(field, f"{expected}, found {_found(value)}", Reason.WRONG_TYPE)
    if len(value) > limit:
        raise FieldError(field, f"{expected}, found {len(value)}", Reason.TOO_LONG)
    return value


def check_whole(field: str, value: object, least: int) -> int:
    """A whole number of 64 bits from `least` on."""
    expected = f"a whole number from {least}"
    if type(value) is not int:
        raise FieldError(field, f"{expected}, found {_found(value)}", Reason.WRONG_TYPE)
    if not least <= value <= MAX_WHOLE:
        raise FieldError(field, f"{expected}, of 64 bits, found {_found(value)}", Reason.OUT_OF_RANGE)
    return value


def check_price(field: str, value: object) -> int | float:
    """A price, whole or not."""
    if type(value) is not int and type(value) is not float:
        raise FieldError(field, f"{_PRICE}, found {_found(value)}", Reason.WRONG_TYPE)
    if not 0 <= value <= MAX_PRICE:  # neither holds for what is not a number (NaN)
        raise FieldError(field, f"{_PRICE}, found {_found(value)}", Reason.OUT_OF_RANGE)
    return value


def check_flag(field: str, value: object) -> bool:
    """True or false, and no number that stands for one of them."""
    if type(value) is not bool:
        raise FieldError(field, f"true or false, found {_found(value)}", Reason.WRONG_TYPE)
    return value


def check_value(field: str, value: object) -> None:
    """A value of any type that an attribute may have."""
    if type(value) is str:
        check_text(field, value, MAX_ATTRIBUTE_LENGTH)
    elif type(value) is int:
        if not MIN_WHOLE <= value <= MAX_WHOLE:
            raise FieldError(field, f"{_VALUE}, found a whole number of more bits", Reason.OUT_OF_RANGE)
    elif type(value) is float:
        if not math.isfinite(value):
            raise FieldError(field, f"{_VALUE}, found {value}", Reason.OUT_OF_RANGE)
    elif type(value) is not bool:
        raise FieldError(field, f"{_VALUE}, found {_kind(value)}", Reason.WRONG_TYPE)


def check_event_type(field: str, value: object) -> EventType:
    """One of the event types there are."""
    event_type = EVENT_TYPES.get(value) if type(value) is str else None
    if event_type is not None:
        return event_type
    expected = f"one of {', '.join(EVENT_TYPES)}, found {_found(value)}"
    if value is None or value == "":
        raise FieldError(field, expected, Reason.MISSING)
    raise FieldError(field, expected, Reason.UNKNOWN_VALUE if type(value) is str else Reason.WRONG_TYPE)


def check_time(field: str, value: object, clock_ms: int) -> int:
    """Milliseconds that there can be. The clock, as in `check_clock`, only tells a unit that was mistaken."""
    if type(value) is int and 0 < value <= MAX_TIMESTAMP_MS:
        return value
    if type(value) is not int:
        reason = Reason.MISSING if value is None else Reason.WRONG_TYPE
        raise FieldError(field, f"{_TIME}, found {_found(value)}", reason)
    _refuse_unit(field, value, clock_ms)
    raise FieldError(field, f"{_TIME}, found {_found(value)}", Reason.OUT_OF_RANGE)


def check_clock(field: str, timestamp_ms: int, clock_ms: int) -> None:
    """A time at most MAX_CLOCK_SKEW after the clock and SESSION_TTL before it; a clock below 0 is now.

    On the stream the clock is the message's own time, so that a replay decides as the first time did.
    """
    clock_ms = clock_ms if clock_ms >= 0 else now_ms()
    if -MAX_SKEW_MS <= clock_ms - timestamp_ms <= MAX_AGE_MS:
        return
    _refuse_unit(field, timestamp_ms, clock_ms)
    ahead_ms = timestamp_ms - clock_ms
    if ahead_ms > 0:
        expected = f"a time at most {MAX_CLOCK_SKEW} after the clock's, found {timestamp_ms}, {ahead_ms} ms after it"
        raise FieldError(field, expected, Reason.FROM_THE_FUTURE)
    expected = f"a time at most {SESSION_TTL.days} days before the clock's, found {timestamp_ms}, {-ahead_ms} ms before"
    raise FieldError(field, expected, Reason.TOO_OLD)


def unit_of(value: int, clock_ms: int) -> str | None:
    """The unit, other than milliseconds, that makes this a time between 1990 and a day after the clock."""
    clock_ms = clock_ms if clock_ms >= 0 else now_ms()
    for unit, times, parts in _UNITS:
        if _YEAR_1990_MS <= value * times // parts <= clock_ms + _DAY_MS:
            return unit
    return None


def now_ms() -> int:
    """The clock that a time is judged against where nothing else has one."""
    return time.time_ns() // 1_000_000


def _refuse_unit(field: str, value: int, clock_ms: int) -> None:
    if unit := unit_of(value, clock_ms):
        raise FieldError(field, f"{_TIME}, found {value}, which looks like {unit}", Reason.WRONG_UNIT)


def _found(value: object) -> str:
    """A stranger's value in one short line of ASCII, with its type."""
    if value is None or value == "":
        return "nothing"
    if type(value) is int and not MIN_WHOLE <= value <= MAX_WHOLE:
        return "a whole number of more than 64 bits"
    text = ascii(value)
    return f"{text if len(text) <= 40 else text[:40] + '...'} ({_kind(value)})"


def _kind(value: object) -> str:
    return _KINDS.get(type(value), type(value).__name__)


_KINDS = {
    type(None): "nothing",
    str: "text",
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    list: "a list",
    dict: "an object",
    bytes: "bytes",
}
