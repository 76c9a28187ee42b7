"""How a process of a container ends: with a status, and one line on stderr where something was wrong."""

import sys
from collections.abc import Callable

from pydantic import ValidationError

from runtime.errors import NextclickError
from runtime.settings import settings_problem


def exit_status(work: Callable[[], None]) -> int:
    """Do the work: 0, or 1 after printing what a wrong setting or one of our own errors says."""
    try:
        work()
    except ValidationError as error:
        print(settings_problem(error), file=sys.stderr)
        return 1
    except NextclickError as error:
        print(error, file=sys.stderr)
        return 1
    return 0
