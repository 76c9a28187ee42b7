"""What the rules of fields, the online store, the registry, the event archive and files of items raise.

NextclickError
├── FieldError          a field of what a stranger sent does not hold what it may; never retried
├── ItemFileError       a file of items cannot be read or written, or one of its rows is no valid item
├── OnlineStoreError    it could not be reached or refused the request; the same call may succeed later
│   └── StoreBehindError  it lacks what it once had: have it written again first
├── RegistryError       Feast's registry cannot be used
└── ArchiveError        the event archive could not be read or written; the same call may succeed later
    └── ArchiveFileGoneError  a file of it went away, as a compaction or an erasure runs: list the files again
"""

from collections.abc import Mapping
from enum import StrEnum

from runtime.errors import NextclickError


class Reason(StrEnum):
    """What is wrong with a field: few words, fit for a header, a filter and a metric's label."""

    MALFORMED = "malformed"
    """The bytes are not what their content type says."""
    UNSUPPORTED_FORMAT = "unsupported_format"
    UNSUPPORTED_VERSION = "unsupported_version"
    MISSING = "missing"
    """A required field is not there, null or empty."""
    WRONG_TYPE = "wrong_type"
    UNKNOWN_VALUE = "unknown_value"
    """Not one of the few words that the field may hold."""
    OUT_OF_RANGE = "out_of_range"
    CONTROL_CHARACTER = "control_character"
    """An id or a name holds a character that shows as nothing or turns the text around it."""
    TOO_LONG = "too_long"
    """A string has too many characters."""
    TOO_LARGE = "too_large"
    """The message has too many bytes, or the attributes too many entries."""
    WRONG_KEY = "wrong_key"
    WRONG_UNIT = "wrong_unit"
    """A time that would be a sensible one in seconds, microseconds or nanoseconds."""
    FROM_THE_FUTURE = "from_the_future"
    TOO_OLD = "too_old"


class FieldError(NextclickError):
    """A field that does not hold what it may; says which, what was expected there, and the kind of mistake."""

    def __init__(self, field: str, expected: str, reason: Reason) -> None:
        super().__init__(f"{field}: expected {expected}")
        self.field = field
        self.expected = expected
        """With what was found, where that helps."""
        self.reason = reason


class ItemFileError(NextclickError):
    """A file of items cannot be read or written, or one of its rows is no valid item."""


class OnlineStoreError(NextclickError):
    """The online store could not be reached or refused the request; the same call may succeed later."""


class StoreBehindError(OnlineStoreError):
    """The online store lacks messages that it once had: it lost its newest writes, or is another one."""

    def __init__(self, positions: Mapping[int, int]) -> None:
        super().__init__(f"the online store was further than (partition: offset) {dict(positions)}")
        self.positions = positions
        """Offset up to which it has each of the partitions concerned."""


class RegistryError(NextclickError):
    """Feast's registry cannot be used."""


class ArchiveError(NextclickError):
    """The event archive could not be read or written; the same call may succeed later."""


class ArchiveFileGoneError(ArchiveError):
    """A file of the archive went away since it was listed: list the files again."""
