"""`nextclick train`: fit the workflow and the session transformer on the archive."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer
from rich.progress import Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from nextclick.output import JsonOption, console, write_json
from nextclick.publishing import publish
from nextclick.stack.addresses import TRITON, apply_to_environment

if TYPE_CHECKING:
    from training.train import EpochReport, TrainingResult


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

    speaks = is_first_process()
    if export and speaks:
        apply_to_environment(require=(TRITON,))  # better known before hours of training than after
    given = {"archive_path": archive, "items_path": items}
    settings = TrainingSettings.model_validate({name: value for name, value in given.items() if value is not None})
    try:
        with EpochBar(shown=speaks) as bar:
            result = train(
                find_recipe(recipe),
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
        with console.status("exporting") as line:
            numbers["version"] = publish(result.run.name, line.update)
        console.print(f"version {numbers['version']} is served", highlight=False)
    write_json(json_file, numbers)


class EpochBar:
    """A progress bar over epochs with the loss and the validation figure beside it."""

    def __init__(self, shown: bool = True) -> None:
        self._progress = Progress(
            *Progress.get_default_columns()[:-1],
            TimeElapsedColumn(),
            TextColumn("{task.fields[note]}"),
            console=console,
            disable=not shown,
        )
        self._task = self._progress.add_task("training", total=None, note="preparing data")

    def __enter__(self) -> "EpochBar":
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def advance(self, report: "EpochReport") -> None:
        """Show a finished epoch."""
        note = f"loss {report.loss:.3f}  validation NDCG@10 {report.validation.ndcg_at_10:.4f}"
        self._progress.update(self._task, completed=report.epoch, total=report.max_epochs, note=note)


def print_result(result: "TrainingResult") -> None:
    """Print the figures of the best epoch."""
    table = Table("run", "epochs", "best", "HR@10", "NDCG@10", "MRR@10", "stopped by", box=None, pad_edge=False)
    best = result.validation
    figures = (f"{best.hr_at_10:.4f}", f"{best.ndcg_at_10:.4f}", f"{best.mrr_at_10:.4f}")
    table.add_row(result.run.name, str(result.epochs), str(result.best_epoch), *figures, result.stopped_by)
    console.print(table)


def _numbers(result: "TrainingResult") -> dict[str, Any]:
    return {
        "epochs": result.epochs,
        "best_epoch": result.best_epoch,
        "validation": asdict(result.validation),
        "stopped_by": result.stopped_by,
        "seconds": result.seconds,
    }
