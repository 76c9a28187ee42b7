"""The root of every exception that carries a message for the person at the other end, and the online store's own.

NextclickError
├── OnlineStoreError    it could not be reached or refused the request; the same call may succeed later
├── streaming.errors
├── training.errors
├── serving.errors
└── nextclick: stack, datasets, command line
"""


class NextclickError(Exception):
    """Its text is one clear sentence that says what to do; the command line prints it without a traceback."""


class OnlineStoreError(NextclickError):
    """The online store could not be reached or refused the request; the same call may succeed later."""
