"""The one console script, `nextclick`: registers the verbs and turns errors into one line and an exit code.

Exit codes: 0 done, 1 an error that was explained, 2 wrong usage, 130 interrupted.
"""

import logging
import os
import sys

import typer
from pydantic import ValidationError
from rich.console import Console
from rich.markup import escape

from feature_repo.errors import NextclickError
from nextclick.verbs import archive, demo, dlq, down, evaluate, export, recommend, serve, status, stream, train, up

commands = typer.Typer(
    help="Turn a live click stream into ordered recommendations.",
    epilog="Start with `nextclick demo`, or `nextclick up` and then the verbs in the order of the list.",
    no_args_is_help=True,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
    add_completion=False,
)
SERVERS = ("stream", "archive", "serve")
for verb in (up, status, down, demo, stream, archive, train, evaluate, export, serve, recommend):
    commands.command(name=verb.__name__.rpartition(".")[2])(verb.run)
commands.add_typer(dlq.commands, name="dlq")


@commands.callback()
def configure(
    context: typer.Context,
    verbose: bool = typer.Option(False, "--verbose", "-v", help="Log more, on standard error."),
) -> None:
    """Set logging up: servers tell what they do, the other verbs have progress bars and tables for that."""
    usual = logging.INFO if context.invoked_subcommand in SERVERS else logging.WARNING
    logging.basicConfig(format="%(asctime)s %(levelname)s %(name)s: %(message)s", stream=sys.stderr)
    for ours in ("nextclick", "feature_repo", "streaming", "training", "serving"):
        logging.getLogger(ours).setLevel(logging.DEBUG if verbose else usual)
    if usual > logging.INFO and not verbose:  # what such a verb cannot get over is raised, and explained in one line
        logging.getLogger("kafka").setLevel(logging.CRITICAL)
    # Its event loop reports every task above 0.1 s, which a busy machine has many of.
    logging.getLogger("kafka.net.selector").setLevel(logging.WARNING if verbose else logging.ERROR)


def explain(message: str) -> None:
    """Print an error on standard error, on as many lines as it has."""
    Console(stderr=True).print(f"[bold red]error:[/] {escape(message)}", highlight=False, soft_wrap=True)


def _settings_problem(error: ValidationError) -> str:
    """The first setting that is wrong; others may only follow from it."""
    problem = error.errors()[0]
    name = "_".join(str(part) for part in problem["loc"]).upper()
    message = str(problem["msg"]).removeprefix("Value error, ")
    return message if message.startswith(name) else f"{name}: {message}"


def app() -> None:
    """Run the command line."""
    # Before torch is imported: its threads, when idle, must not spin against the servers on the same cores.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    try:
        commands()
    except NextclickError as error:
        explain(str(error))
        sys.exit(1)
    except ValidationError as error:
        explain(_settings_problem(error))
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)
