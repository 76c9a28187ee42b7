"""The root of every exception that carries a message for the person at the other end, and the online store's own.

NextclickError
├── OnlineStoreError    it could not be reached or refused the request; the same call may succeed later
├── RegistryError       Feast's registry cannot be used
├── SecretFileError     a file that should hold a secret cannot be read
├── ArchiveError        the event archive could not be read or written; the same call may succeed later
│   └── ArchiveFileGoneError  a file of it went away, as a compaction or an erasure runs: list the files again
├── streaming.errors
├── training.errors
├── serving.errors
└── nextclick: stack, datasets, command line
"""


class NextclickError(Exception):
    """Its text is one clear sentence that says what to do; the command line prints it without a traceback."""


class OnlineStoreError(NextclickError):
    """The online store could not be reached or refused the request; the same call may succeed later."""


class RegistryError(NextclickError):
    """Feast's registry cannot be used."""


class SecretFileError(NextclickError):
    """A file that should hold a secret cannot be read."""


class ArchiveError(NextclickError):
    """The event archive could not be read or written; the same call may succeed later."""


class ArchiveFileGoneError(ArchiveError):
    """A file of the archive went away since it was listed: list the files again."""
