"""Loops that run beside the calls until they are stopped, and an end to waiting for what does not stop.

redis-py waits by `asyncio.wait_for`. In Python 3.11 that returns its result and swallows a cancellation which comes in
the same turn of the event loop, so nothing here relies on one cancellation alone.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

log = logging.getLogger(__name__)
_CANCEL_AGAIN_SECONDS = 0.5


class Background:
    """The loops of one event loop. A step that raises ends its loop, and `wait_for_failure` tells."""

    def __init__(self) -> None:
        self._tasks: list[asyncio.Task[None]] = []

    @property
    def is_running(self) -> bool:
        """Whether there is any loop."""
        return bool(self._tasks)

    def repeat(self, name: str, step: Callable[[], Awaitable[None]], pause: Callable[[], float]) -> None:
        """Wait `pause()` seconds, take the step, and begin again; `name` is what the log calls it."""
        self._tasks.append(asyncio.create_task(_repeat(step, pause), name=name))

    async def wait_for_failure(self) -> None:
        """Return when a loop has ended, which none does by itself; raises what ended it."""
        done, _ = await asyncio.wait(self._tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()

    async def stop(self, seconds: float) -> None:
        """End the loops and wait for them, `seconds` at most; the log names those that did not end."""
        give_up = asyncio.get_running_loop().time() + seconds
        pending = set(self._tasks)
        while pending and (left := give_up - asyncio.get_running_loop().time()) > 0:
            for task in pending:
                task.cancel()
            _, pending = await asyncio.wait(pending, timeout=min(left, _CANCEL_AGAIN_SECONDS))
        if pending:
            names = ", ".join(sorted(task.get_name() for task in pending))
            log.warning("did not end within %g s and is left behind: %s", seconds, names)
        for task in self._tasks:
            if task.done() and not task.cancelled():
                task.exception()  # `wait_for_failure` raises it; nobody need be told that nobody asked
        self._tasks = []


async def _repeat(step: Callable[[], Awaitable[None]], pause: Callable[[], float]) -> None:
    while True:
        await asyncio.sleep(pause())
        await step()
        raise_if_cancelled()


def raise_if_cancelled() -> None:
    """For loops, after each wait. Raises CancelledError where the task was cancelled and something swallowed that."""
    task = asyncio.current_task()
    if task and task.cancelling():
        raise asyncio.CancelledError


async def finish(name: str, work: Coroutine[Any, Any, None], seconds: float) -> None:
    """Wait for the last work of a part, `seconds` at most. The log names what fails or does not end in that time."""
    task = asyncio.create_task(work, name=name)
    await asyncio.wait({task}, timeout=seconds)
    if not task.done():
        task.cancel()
        log.warning("did not end within %g s and is left behind: %s", seconds, name)
    elif not task.cancelled() and (error := task.exception()):
        log.warning("%s: %r", name, error)
