"""The root of every exception that carries a message for the person at the other end.

NextclickError
├── SecretFileError    a file that should hold a secret cannot be read
├── TlsFileError       a file that should hold a certificate or a key holds none
├── feature_repo.errors
├── streaming.errors
├── training.errors
├── serving.errors
└── nextclick: stack, datasets, command line
"""


class NextclickError(Exception):
    """Its text is one clear sentence that says what to do; the command line prints it without a traceback.

    `detail` is printed below it, on lines of its own: what another program has said.
    """

    def __init__(self, message: str = "", detail: str = "") -> None:
        super().__init__(message)
        self.detail = detail


class SecretFileError(NextclickError):
    """A file that should hold a secret cannot be read."""


class TlsFileError(NextclickError):
    """A file that should hold a certificate or a key holds none, or cannot be read."""
