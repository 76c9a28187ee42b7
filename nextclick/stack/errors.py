"""Errors of the local stack.

StackError                  anything that keeps a part from running; the message says what to do
├── NotReadyError           the part does not answer (yet)
└── SupervisorGoneError     there is no supervisor, or no longer
"""

from runtime.errors import NextclickError


class StackError(NextclickError):
    """Something keeps the stack, or a part of it, from running. Its text is meant for the user as it stands."""


class NotReadyError(StackError):
    """A part does not answer its readiness check."""


class SupervisorGoneError(StackError):
    """There is no supervisor, or it has ended, by itself or by force."""
