"""Shows how far work is: a bar for one piece of it, or a bar for each of its steps."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import TYPE_CHECKING, Self

from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TaskID,
    TaskProgressColumn,
    TextColumn,
    TimeElapsedColumn,
)

from nextclick.output import console
from runtime.printable import printable

if TYPE_CHECKING:
    from training.train import EpochReport

Advance = Callable[..., None]
"""Gets what is done, how much there is, and perhaps a note of a few words."""


@contextmanager
def progress_bar(title: str) -> Iterator[Advance]:
    """Shown on a terminal while the block runs; nothing stays of it."""
    columns = (
        SpinnerColumn(),
        _words("description"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        _words("fields[note]"),
    )
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bars:
        task = bars.add_task(printable(title), total=None, note="")

        def advance(done: int, total: int, note: str = "") -> None:
            bars.update(task, completed=done, total=total, note=printable(note))

        yield advance


class Steps:
    """Work of several steps, one after the other, tells here how far it is; this base class shows nothing."""

    def begin(self, title: str, total: int | None = None) -> None:
        """A new step; `total` is None while its length is not known."""

    def advance(self, completed: int) -> None:
        """So much of the step's total is done."""

    def note(self, text: str) -> None:
        """What is going on, in a few words."""


class StepBars(Steps):
    """On a terminal a bar for each step, which stays with the time that it took; elsewhere a line as each begins."""

    def __init__(self) -> None:
        self._progress = Progress(
            _words("description"),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            _words("fields[note]", "dim"),
            console=console,
            disable=not console.is_terminal,
        )
        self._task: TaskID | None = None
        self._began = time.monotonic()

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            self._finish()
        self._progress.stop()

    def begin(self, title: str, total: int | None = None) -> None:
        self._finish()
        title = printable(title)
        self._task = self._progress.add_task(title, total=total, note="")
        if self._progress.disable:
            seconds = f"{time.monotonic() - self._began:6.1f} s"
            console.print(f"{seconds}  {title}", soft_wrap=True)

    def advance(self, completed: int) -> None:
        if self._task is not None:
            self._progress.update(self._task, completed=completed)

    def note(self, text: str) -> None:
        if self._task is not None:
            self._progress.update(self._task, note=printable(text))

    def _finish(self) -> None:
        if self._task is None:
            return
        task = next(task for task in self._progress.tasks if task.id == self._task)
        done = task.completed or 1
        self._progress.update(self._task, total=done, completed=done, refresh=True)
        self._progress.stop_task(self._task)


class EpochBar:
    """A progress bar over epochs with the loss and the validation figure beside it."""

    def __init__(self, shown: bool = True) -> None:
        columns = (
            _words("description"),
            BarColumn(),
            TaskProgressColumn(),
            TimeElapsedColumn(),
            _words("fields[note]"),
        )
        self._progress = Progress(*columns, console=console, disable=not shown)
        self._task = self._progress.add_task("training", total=None, note="preparing data")

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def advance(self, report: "EpochReport") -> None:
        """Show a finished epoch."""
        note = f"loss {report.loss:.3f}  validation NDCG@10 {report.validation.ndcg_at_10:.4f}"
        self._progress.update(self._task, completed=report.epoch, total=report.max_epochs, note=note)


def _words(field: str, style: str = "none") -> TextColumn:
    return TextColumn(f"{{task.{field}}}", style=style, markup=False)
