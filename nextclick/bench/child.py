"""Runs a function in a fresh process, so that what it measures shares an interpreter with nothing else."""

import signal
import traceback
from collections.abc import Callable
from multiprocessing import get_context
from multiprocessing.connection import Connection
from types import TracebackType
from typing import Any, Self

from nextclick.bench.errors import BenchError
from nextclick.interrupts import interrupted_after
from runtime.errors import NextclickError

_START_SECONDS = 120.0
"""For the imports of a child on a busy machine."""

Start = Callable[[], float]
"""Called by a child that is ready; returns the time.monotonic() at which all children are to begin."""


class Child:
    """`work(start, *arguments)` in a process, killed at the end of the block; results go through a pipe."""

    def __init__(self, work: Callable[..., Any], *arguments: Any) -> None:
        context = get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=_run, args=(theirs, work, arguments), daemon=True)
        with interrupted_after(self.kill):
            self._process.start()
            theirs.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill()

    def kill(self) -> None:
        """End it at once."""
        self._process.kill()
        self._process.join()
        self._pipe.close()

    def wait_ready(self) -> None:
        """Return once the child has asked when to begin. Raises BenchError."""
        if not self._pipe.poll(_START_SECONDS):
            raise BenchError(f"a measuring process did not start within {_START_SECONDS:.0f} s")
        self._receive()

    def begin(self, at: float) -> None:
        """Tell the child when to begin, as time.monotonic() will read."""
        self._pipe.send(at)

    def is_done(self) -> bool:
        """Whether `result` would not wait."""
        return self._pipe.poll(0)

    def result(self) -> Any:
        """What the function returned. Raises BenchError with what it raised."""
        return self._receive()

    def _receive(self) -> Any:
        try:
            kind, value = self._pipe.recv()
        except EOFError as error:
            raise BenchError("a measuring process ended without a result: is there memory enough?") from error
        if kind == "error":
            raise BenchError(value)
        return value


def run_in_child(work: Callable[..., Any], *arguments: Any) -> Any:
    """The result of `work(start, *arguments)`, which begins at once. Raises BenchError with what it raised."""
    with Child(work, *arguments) as child:
        child.wait_ready()
        child.begin(0.0)
        return child.result()


def _run(pipe: Connection, work: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal sends it to the parent too, which decides

    def start() -> float:
        pipe.send(("ready", None))
        return float(pipe.recv())

    try:
        pipe.send(("result", work(start, *arguments)))
    except NextclickError as error:
        pipe.send(("error", str(error)))
    except BaseException:
        pipe.send(("error", traceback.format_exc()))
