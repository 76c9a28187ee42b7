"""The one place where verbs print: what they show may be data of strangers, so nothing of it is markup or a command to
the terminal. A table for people, the same numbers as JSON for programs."""

import json
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from runtime.errors import NextclickError
from runtime.printable import printable, printable_lines

console = Console(highlight=False, markup=False, emoji=False)
"""For this module and the bars of `progress`."""

Cell = str | Text


def shown(text: str, style: str = "") -> Text:
    """The text as rich may have it."""
    return Text(printable(text), style)


def say(text: str = "") -> None:
    """Print one line."""
    console.print(shown(text), soft_wrap=True)


def say_lines(text: str) -> None:
    """Print text that has several lines on purpose."""
    console.print(Text(printable_lines(text)), soft_wrap=True)


def print_table(
    columns: Sequence[str], rows: Iterable[Sequence[Cell]], *, boxed: bool = False, folded: Sequence[str] = ()
) -> None:
    """Print a table. Where the terminal is narrow, the columns named in `folded` take more lines; else all do."""
    table = Table() if boxed else Table(box=None, pad_edge=False)
    for name in columns:
        table.add_column(shown(name), overflow="fold", no_wrap=bool(folded) and name not in folded)
    for row in rows:
        table.add_row(*(shown(cell) if isinstance(cell, str) else cell for cell in row))
    console.print(table)


def print_facts(facts: Mapping[str, str]) -> None:
    """Print a line for each fact, with its name."""
    table = Table.grid(padding=(0, 2))
    table.add_column()
    table.add_column(overflow="fold")
    for name, value in facts.items():
        table.add_row(shown(name), shown(value))
    console.print(table)


@contextmanager
def doing(what: str) -> Iterator[Callable[[str], None]]:
    """Show on a terminal what is being done while the block runs; the block gets what changes the words."""
    with console.status(shown(what)) as line:
        yield lambda text: line.update(shown(text))


def write_for_programs(text: str) -> None:
    """Write lines to standard output as they are, for another program to read; made printable where a person looks."""
    sys.stdout.write(printable_lines(text) if sys.stdout.isatty() else text)


def write_bytes_for_programs(content: bytes) -> None:
    """Write bytes to standard output. Raises NextclickError where that is a terminal."""
    if sys.stdout.isatty():
        raise NextclickError(
            "these bytes may be anything, your terminal would act on them: send them to a file or pipe"
        )
    typer.get_binary_stream("stdout").write(content)


def _check_json_file(path: Path | None) -> Path | None:
    """What cannot be written is better known before the work than after; and JSON has standard output to itself."""
    console.stderr = str(path) == "-"
    if path is None or console.stderr:
        return path
    if path.is_dir():
        raise typer.BadParameter(f"{path} is a folder")
    if not path.parent.is_dir():
        raise typer.BadParameter(f"there is no folder {path.parent}")
    if not os.access(path if path.exists() else path.parent, os.W_OK):
        raise typer.BadParameter(f"{path} may not be written")
    return path


JsonOption = Annotated[
    Path | None,
    typer.Option(
        "--json",
        metavar="FILE",
        help="Also write the numbers to FILE as JSON (`-`: standard output, and all else to standard error).",
        callback=_check_json_file,
    ),
]


def write_json(path: Path | None, numbers: Mapping[str, Any]) -> None:
    """Write `numbers` to `path`; nothing without a path, standard output for `-`. Raises NextclickError."""
    if path is None:
        return
    text = json.dumps(numbers, indent=2, sort_keys=True) + "\n"
    if str(path) == "-":
        sys.stdout.write(text)
    else:
        write_file(path, text.encode())


def write_file(path: Path, content: bytes) -> None:
    """Write a file that the user has named. Raises NextclickError."""
    try:
        path.write_bytes(content)
    except OSError as error:
        raise NextclickError(f"{path} cannot be written: {error.strerror or error}") from error
