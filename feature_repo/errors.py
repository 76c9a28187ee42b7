"""The root of every exception that carries a message for the person at the other end, and the online store's own.

NextclickError
├── OnlineStoreError    it could not be reached or refused the request; the same call may succeed later
│   └── StoreBehindError  it lacks what it once had: have it written again first
├── RegistryError       Feast's registry cannot be used
├── SecretFileError     a file that should hold a secret cannot be read
├── ArchiveError        the event archive could not be read or written; the same call may succeed later
│   └── ArchiveFileGoneError  a file of it went away, as a compaction or an erasure runs: list the files again
├── streaming.errors
├── training.errors
├── serving.errors
└── nextclick: stack, datasets, command line
"""

from collections.abc import Mapping


class NextclickError(Exception):
    """Its text is one clear sentence that says what to do; the command line prints it without a traceback."""


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


class SecretFileError(NextclickError):
    """A file that should hold a secret cannot be read."""


class ArchiveError(NextclickError):
    """The event archive could not be read or written; the same call may succeed later."""


class ArchiveFileGoneError(ArchiveError):
    """A file of the archive went away since it was listed: list the files again."""
