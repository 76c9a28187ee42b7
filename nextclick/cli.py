"""The one console script, `nextclick`: registers the verbs and turns errors into one line and an exit code.

Exit codes: 0 done, 1 an error that was explained, 2 wrong usage, 130 interrupted.
"""

import os
import sys

import typer
from pydantic import ValidationError
from rich.console import Console
from rich.markup import escape

from nextclick.extras import extra_of
from nextclick.interrupts import interrupt_between_tasks
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
from runtime.errors import NextclickError
from runtime.logs import LogSettings, set_up_logs
from runtime.settings import settings_problem

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


def explain(message: str) -> None:
    """Print an error on standard error, on as many lines as it has."""
    Console(stderr=True).print(f"[bold red]error:[/] {escape(message)}", highlight=False, soft_wrap=True)


def app() -> None:
    """Run the command line."""
    # Before torch is imported: its threads, when idle, must not spin against the servers on the same cores.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    interrupt_between_tasks()
    try:
        commands()
    except NextclickError as error:
        explain(str(error))
        sys.exit(1)
    except ValidationError as error:
        explain(settings_problem(error))
        sys.exit(1)
    except ModuleNotFoundError as error:
        if (extra := extra_of(error)) is None:
            raise
        explain(f"{error.name} is not installed here: run `pip install 'nextclick[{extra}]'`")
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)
