"""`nextclick bench`: measure the platform on this machine, each figure beside its floor."""

import shlex
import shutil
from pathlib import Path
from typing import Any

import typer

from nextclick.output import JsonOption, print_table, say, shown, write_json
from nextclick.progress import StepBars
from runtime.errors import NextclickError

commands = typer.Typer(help="Measure the platform on this machine.", no_args_is_help=True)


@commands.callback()
def bench() -> None:
    """Measure the platform on this machine."""


@commands.command()
def ingest(
    dataset: str | None = typer.Option(
        None, metavar="FORMAT", help="A data set, as `demo` takes them; without one a simulator."
    ),
    path: Path | None = typer.Option(None, metavar="DIR", help="Folder or file of the data set."),
    events: int | None = typer.Option(
        None, min=100, help="Events of the backlog: the oldest of the data set (default: all), or 300000 simulated."
    ),
    sample: int = typer.Option(300_000, min=100, help="Events of each repeated measurement."),
    repeats: int = typer.Option(3, min=1, help="Rounds in which floors and consumers take turns; medians count."),
    processes: int = typer.Option(2, min=2, help="Consumers that share the work, against one."),
    rate: int = typer.Option(2000, min=1, help="Events a second while freshness is measured."),
    seconds: float = typer.Option(20.0, min=1.0, help="How long freshness is measured."),
    length_events: int = typer.Option(200_000, min=100, help="Events of each session length."),
    push_events: int = typer.Option(20_000, min=100, help="Events of the comparison with FeatureStore.push."),
    seed: int = typer.Option(4, help="Of the simulator."),
    launcher: str = typer.Option(
        "",
        metavar="COMMAND",
        help="Starts each consumer and becomes it: 'systemd-run --scope -q -p CPUQuota=40%' holds it to a share of a "
        "core, so that cores last for several.",
    ),
    check: bool = typer.Option(False, "--check", help="Exit with 1 if a ratio (not a time) misses its target."),
    plot: Path | None = typer.Option(None, metavar="FILE", help="Draw throughput and freshness: .svg or .png."),
    json_file: JsonOption = None,
) -> None:
    """Measure streaming: throughput, scaling, cost by session length, freshness, memory, beside bare loops.

    Uses the running stack, with topics, groups and a Redis database of its own that it removes; starts one if none
    runs, and ends it. Nothing else should keep the machine busy.

    Examples: `nextclick bench ingest --json ingest.json`,
    `nextclick bench ingest --dataset globo --path data/globo --plot ingest.svg`
    """
    from nextclick.bench.ingest.plot import check_suffix, draw
    from nextclick.bench.ingest.results import numbers
    from nextclick.bench.ingest.run import Measured, Options, run_ingest
    from nextclick.bench.machine import describe_machine, describe_versions
    from nextclick.bench.sandbox import Sandbox

    check_suffix(plot)
    machine = describe_machine()

    def judge(measured: Measured, sandbox: Sandbox) -> dict[str, Any]:
        return numbers(measured, machine, describe_versions(sandbox.database.client))

    options = Options(
        dataset,
        path,
        events,
        sample,
        repeats,
        processes,
        length_events,
        push_events,
        rate,
        seconds,
        seed,
        _words(launcher),
    )
    with StepBars() as bars:
        result = run_ingest(options, bars, judge)
    print_result(result)
    write_json(json_file, result)
    if plot:
        draw(result, plot)
    if check and missed_ratios(result):
        raise typer.Exit(1)


def _words(command: str) -> tuple[str, ...]:
    try:
        words = tuple(shlex.split(command))
    except ValueError as error:
        raise NextclickError(f"--launcher {command!r}: {error}") from error
    if words and not shutil.which(words[0]):
        raise NextclickError(f"--launcher: there is no command {words[0]!r}")
    return words


def print_result(result: dict[str, Any]) -> None:
    """Print the table, and what it was measured on."""
    met = {True: shown("yes", "green"), False: shown("no", "red"), None: shown("–")}
    columns = ("name", "value", "floor", "required")
    rows = [[*(figure[name] for name in columns), met[figure["met"]]] for figure in result["figures"]]
    print_table(("figure", "value", "floor", "required", "met"), rows, boxed=True)
    machine, settings, spreads = result["machine"], result["settings"], result["spreads"]
    cpu = " / ".join(f"{spreads[name]['median']:.0f}" for name in ("cpu_us_per_event", "cpu_us_per_event_all_views"))
    lines: tuple[str, ...] = (
        f"{result['dataset']['name']}, {result['events']:,} events; medians of {settings['repeats']} rounds of "
        f"{settings['sample']:,} events; CPU of a consumer {cpu} µs an event (sessions / all views).",
        f"{machine['cores']} cores of {machine['cpu']}, {machine['ram_gib']} GiB: broker, Redis, consumers and this "
        f"program share them. Load before the run: {machine['load_before']}.",
    )
    if launcher := settings["launcher"]:
        lines = (*lines, f"Each consumer was started by: {shlex.join(launcher)}")
    for line in lines:
        say(line)


def missed_ratios(result: dict[str, Any]) -> list[str]:
    """Names of the figures that miss a target which does not depend on how fast the machine is."""
    return [figure["name"] for figure in result["figures"] if figure["is_ratio"] and figure["met"] is False]
