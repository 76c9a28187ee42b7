"""Waits until a service answers, and says why when it does not."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from nextclick.stack.client import SupervisorClient
from nextclick.stack.errors import NotReadyError, StackError

_POLL_SECONDS = 0.1
_LOG_LINES = 25


def wait(check: Callable[[], None], seconds: float) -> None:
    """Calls `check` until it raises no NotReadyError; after `seconds` that error is the caller's."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            return check()
        except NotReadyError:
            if time.monotonic() > deadline:
                raise
        time.sleep(_POLL_SECONDS)


def wait_for_service(client: SupervisorClient, name: str, check: Callable[[str], None], seconds: float) -> None:
    """Waits until a service that was started passes `check(address)`, which raises NotReadyError until it does.

    Raises StackError with the end of the log when the service ends, or is not ready in time.
    """

    def look() -> None:
        service = client.status().get(name)
        if service is None or service["state"] in ("stopping", "exited"):
            raise _failure(name, service, "ended instead of becoming ready")
        check(service["address"])

    try:
        wait(look, seconds)
    except NotReadyError as error:
        raise _failure(name, client.status().get(name), f"was not ready within {seconds:.0f} s ({error})") from error


def _failure(name: str, service: dict[str, Any] | None, what: str) -> StackError:
    if service is None:
        return StackError(f"{name} {what}: another process ended it")
    code = "" if service["exit_code"] is None else f" (exit status {service['exit_code']})"
    path = Path(service["log"])
    tail = "\n".join(path.read_text(errors="replace").splitlines()[-_LOG_LINES:]) if path.is_file() else ""
    return StackError(f"{name} {what}{code}. The end of {path}:", tail or "(empty)")
