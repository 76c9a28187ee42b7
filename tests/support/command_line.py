"""The verbs that the command line has, for tests that hold each of them to something."""

from collections.abc import Iterator
from typing import Any

from typer.main import get_command

from nextclick.cli import commands


def _verbs(command: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    below = getattr(command, "commands", {})
    if path and (not below or command.invoke_without_command):
        yield path, command
    for name, verb in below.items():
        yield from _verbs(verb, (*path, name))


VERBS = dict(_verbs(get_command(commands)))
"""Each by its words."""
