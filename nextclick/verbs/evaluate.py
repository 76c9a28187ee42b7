"""`nextclick evaluate`: the model beside the baselines on the same test sessions."""

from pathlib import Path

import typer
from rich.table import Table

from nextclick.output import JsonOption, console, write_json


def run(
    run_name: str | None = typer.Option(None, "--run", help="Run in RUNS_PATH. [default: the newest]"),
    archive: str | None = typer.Option(
        None, metavar="PATH|URL", help="Event archive. [default: ARCHIVE_PATH or .nextclick/archive]"
    ),
    items: Path | None = typer.Option(
        None, exists=True, dir_okay=False, help="Catalogue. [default: ITEMS_PATH or .nextclick/items.parquet]"
    ),
    include_seen: bool = typer.Option(False, help="Let recommenders answer items that the session has had."),
    json_file: JsonOption = None,
) -> None:
    """Rank the whole catalogue for each next item of the newest sessions, which training has not seen.

    Example: `nextclick evaluate --json evaluation.json`
    """
    from training.evaluation.evaluate import evaluate
    from training.settings import TrainingSettings

    given = {"archive_path": archive, "items_path": items}
    settings = TrainingSettings.model_validate({name: value for name, value in given.items() if value is not None})
    with console.status("evaluating"):
        report = evaluate(settings, run_name, exclude_seen=not include_seen)
    seen = "excluded" if report.seen_items_excluded else "included"
    table = Table("recommender", "HR@10", "NDCG@10", "MRR@10", box=None, pad_edge=False)
    for name, metrics in report.results.items():
        table.add_row(name, f"{metrics.hr_at_10:.4f}", f"{metrics.ndcg_at_10:.4f}", f"{metrics.mrr_at_10:.4f}")
    console.print(table)
    console.print(f"run {report.run_name}, {report.sessions} test sessions, seen items {seen}", highlight=False)
    write_json(json_file, report.to_dict())
