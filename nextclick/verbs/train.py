"""`nextclick train`: fit the workflow and the session transformer on the archive."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from nextclick.output import JsonOption, doing, print_table, say, write_json
from nextclick.progress import EpochBar
from nextclick.publishing import publish
from nextclick.stack.addresses import TRITON, apply_to_environment

if TYPE_CHECKING:
    from training.train import TrainingResult


def run(
    recipe: str = typer.Option("default", help="Named configuration of `training/config.py`."),
    archive: str | None = typer.Option(
        None, metavar="PATH|URL", help="Event archive. [default: ARCHIVE_PATH or .nextclick/archive]"
    ),
    items: Path | None = typer.Option(
        None, exists=True, dir_okay=False, help="Catalogue. [default: ITEMS_PATH or .nextclick/items.parquet]"
    ),
    resume: str | None = typer.Option(
        None, metavar="RUN", help="Continue this interrupted run (`newest`: the newest one)."
    ),
    export: bool = typer.Option(False, "--export", help="Then publish the run, as `nextclick export` does."),
    json_file: JsonOption = None,
) -> None:
    """Train on the event archive with early stopping; the run is left in RUNS_PATH for `evaluate` and `export`.

    Several processes train one model together when torchrun starts them; they must share RUNS_PATH.

    Example: `nextclick train --recipe default --json metrics.json`;
    on two GPUs `torchrun --nproc-per-node=2 -m nextclick train`
    """
    from training.config import recipe as find_recipe
    from training.distributed import is_first_process
    from training.errors import FirstProcessError
    from training.settings import TrainingSettings
    from training.train import train

    config = find_recipe(recipe)
    speaks = is_first_process()
    if export and speaks:
        apply_to_environment(require=(TRITON,))  # better known before hours of training than after
    given = {"archive_path": archive, "items_path": items}
    settings = TrainingSettings.model_validate({name: value for name, value in given.items() if value is not None})
    try:
        with EpochBar(shown=speaks) as bar:
            result = train(
                config,
                settings,
                progress=bar.advance,
                run_name=None if resume == "newest" else resume,
                resume=resume is not None,
            )
    except FirstProcessError as error:
        raise typer.Exit(1) from error  # said once, by the first
    if not speaks:
        return
    print_result(result)
    numbers = {"run": result.run.name, **_numbers(result)}
    if export:
        with doing("exporting") as note:
            numbers["version"] = publish(result.run.name, note)
        say(f"version {numbers['version']} is served")
    write_json(json_file, numbers)


def print_result(result: "TrainingResult") -> None:
    """Print the figures of the best epoch."""
    best = result.validation
    figures = (f"{best.hr_at_10:.4f}", f"{best.ndcg_at_10:.4f}", f"{best.mrr_at_10:.4f}")
    row = (result.run.name, str(result.epochs), str(result.best_epoch), *figures, result.stopped_by)
    print_table(("run", "epochs", "best", "HR@10", "NDCG@10", "MRR@10", "stopped by"), [row])


def _numbers(result: "TrainingResult") -> dict[str, Any]:
    return {
        "epochs": result.epochs,
        "best_epoch": result.best_epoch,
        "validation": asdict(result.validation),
        "stopped_by": result.stopped_by,
        "seconds": result.seconds,
    }
