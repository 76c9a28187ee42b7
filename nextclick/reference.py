"""Writes `docs/CLI.md`, the reference of the command line, from what `--help` of every verb is made of.

`python -m nextclick.reference --write`, or `--check` whether it is fresh.
"""

import inspect
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from typer.main import get_command

from nextclick.cli import commands
from runtime.settings import PROJECT_ROOT

PAGE = PROJECT_ROOT / "docs" / "CLI.md"
_HEAD = """\
# The command line

Written by `make generate` from the help texts; do not edit.

Exit status: 0 done, 1 an error that was explained in one line, 2 wrong usage, 130 interrupted. An error that nobody
foresaw is one line as well; it names the log file that holds the rest.
"""


def page() -> str:
    """The whole page."""
    return "\n".join([_HEAD, *_sections(get_command(commands), "nextclick")])


def _sections(command: Any, path: str) -> Iterator[str]:
    verbs = getattr(command, "commands", {})
    yield f"{'#' * min(3, len(path.split()) + 1)} `{path}`\n"
    if text := inspect.cleandoc(command.help or ""):
        yield f"{text}\n"
    if command.epilog:
        yield f"{command.epilog}\n"
    context = command.make_context(path, [], resilient_parsing=True)
    rows = [_row(parameter, context) for parameter in command.params if parameter.name != "help"]
    if rows:
        yield "\n".join(["| argument or option | default | |", "|---|---|---|", *rows]) + "\n"
    for name, verb in verbs.items():
        yield from _sections(verb, f"{path} {name}")


def _row(parameter: Any, context: Any) -> str:
    is_option = parameter.param_type_name == "option"
    names = ", ".join(f"`{name}`" for name in [*parameter.opts, *parameter.secondary_opts]) if is_option else ""
    value = "" if is_option and parameter.is_flag else parameter.metavar or parameter.display_type(context)
    what = " ".join(part for part in (names, f"`{value}`" if value else "") if part)
    help_text = " ".join((parameter.help or "").split())
    if parameter.envvar:
        help_text += f" From `{parameter.envvar}` if it is set."
    return f"| {_cell(what)} | {_cell(_default(parameter))} | {_cell(help_text)} |"


def _default(parameter: Any) -> str:
    if parameter.required:
        return "required"
    default = parameter.default
    if default in (None, "", False) or default == [] or default == ():
        return ""
    return "yes" if default is True else f"`{default}`"


def _cell(text: str) -> str:
    return re.sub(r"(?<!\\)\|", r"\\|", text)


def main() -> int:
    """Write the page, or with `--check` tell whether it is what would be written."""
    if sys.argv[1:] == ["--write"]:
        PAGE.write_text(page())
    elif sys.argv[1:] != ["--check"]:
        sys.stderr.write(f"{__doc__}\n")
        return 2
    elif not PAGE.is_file() or PAGE.read_text() != page():
        sys.stderr.write(f"{Path(PAGE).relative_to(PROJECT_ROOT)} is stale: run `make generate` and commit\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
