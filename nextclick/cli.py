"""The verbs of the command line, in the order in which they are used.

Exit codes: 0 done, 1 an error that was explained, 2 wrong usage, 130 interrupted.
"""

from typing import Any

import typer
from typer.main import get_command

from nextclick.interrupts import interrupt_when_safe
from nextclick.verbs import (
    archive,
    backfill,
    bench,
    catalogue,
    demo,
    dlq,
    down,
    erase,
    evaluate,
    export,
    items,
    recommend,
    serve,
    status,
    stream,
    train,
    up,
)
from runtime.exit_status import explain
from runtime.logs import LogSettings, set_up_logs

commands = typer.Typer(
    help="Turn a live click stream into ordered recommendations.",
    epilog="Start with `nextclick demo`, or `nextclick up` and then the verbs in the order of the list.",
    no_args_is_help=True,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
    add_completion=False,
)
SERVERS = ("stream", "catalogue", "archive", "serve")
for verb in (up, status, down, demo, stream, catalogue, backfill, erase, train, evaluate, export, serve, recommend):
    commands.command(name=verb.__name__.rpartition(".")[2])(verb.run)
commands.add_typer(archive.commands, name="archive")
commands.add_typer(items.commands, name="items")
commands.add_typer(dlq.commands, name="dlq")
commands.add_typer(bench.commands, name="bench")


@commands.callback()
def configure(
    context: typer.Context,
    verbose: bool = typer.Option(False, "--verbose", "-v", help="Log more, on standard error."),
) -> None:
    """Set logging up: servers tell what they do, the other verbs have progress bars and tables for that."""
    set_up_logs(LogSettings(), runs_long=context.invoked_subcommand in SERVERS, verbose=verbose)


def run_verb() -> int:
    """Run what the arguments of this process ask for; its exit status. Raises what the verb raises."""
    command = get_command(commands)
    interrupt_when_safe()
    try:
        return command.main(prog_name="nextclick", standalone_mode=False) or 0
    except typer.Abort:
        explain("aborted: nothing was changed")
        return 1
    except Exception as error:
        if not hasattr(error, "format_message"):  # the base of Typer's errors of usage has no public name
            raise
        return _wrong_usage(error)


def _wrong_usage(error: Any) -> int:
    """One line, where Typer would draw a box; asking for nothing at all has printed the help already."""
    if message := " ".join(error.format_message().split()):
        context = getattr(error, "ctx", None)
        explain(f"{message.rstrip('.')} (see `{context.command_path if context else 'nextclick'} --help`)")
    return int(error.exit_code)
