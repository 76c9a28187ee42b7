"""The root of every exception that carries a message for the person at the other end.

NextclickError
├── feature_repo: SettingsError, OnlineStoreError
├── streaming.errors
├── training.errors
├── serving.errors
└── nextclick: stack, datasets, command line
"""


class NextclickError(Exception):
    """Its text is one clear sentence that says what to do; the command line prints it without a traceback."""
