"""What the online store, the registry and the event archive raise.

NextclickError
├── OnlineStoreError    it could not be reached or refused the request; the same call may succeed later
│   └── StoreBehindError  it lacks what it once had: have it written again first
├── RegistryError       Feast's registry cannot be used
└── ArchiveError        the event archive could not be read or written; the same call may succeed later
    └── ArchiveFileGoneError  a file of it went away, as a compaction or an erasure runs: list the files again
"""

from collections.abc import Mapping

from runtime.errors import NextclickError


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
