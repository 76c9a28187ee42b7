"""Output of the verbs: a table for people, the same numbers as JSON for programs."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

console = Console()


def _leave_standard_output_to_json(path: Path | None) -> Path | None:
    console.stderr = str(path) == "-"
    return path


JsonOption = Annotated[
    Path | None,
    typer.Option(
        "--json",
        metavar="FILE",
        help="Also write the numbers to FILE as JSON (`-`: standard output, and all else to standard error).",
        callback=_leave_standard_output_to_json,
    ),
]


def write_json(path: Path | None, numbers: Mapping[str, Any]) -> None:
    """Write `numbers` to `path`; nothing without a path, standard output for `-`."""
    if path is None:
        return
    text = json.dumps(numbers, indent=2, sort_keys=True) + "\n"
    if str(path) == "-":
        typer.echo(text, nl=False)
    else:
        path.write_text(text)
