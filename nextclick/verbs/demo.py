"""`nextclick demo`: public data through every stage, measured by the answers that come back over gRPC."""

import os
import shutil
import sys
import time
from pathlib import Path
from typing import Any

import typer
from rich.table import Table

from nextclick.demo.pipeline import Options, run_demo
from nextclick.output import JsonOption, console, write_json
from nextclick.progress import StepBars


def run(
    dataset: str = typer.Option(
        "movielens", help="movielens, serenade, yoochoose, diginetica, amazon, otto, trivago or globo."
    ),
    path: Path | None = typer.Option(None, help="Folder or file of the data set; MovieLens is fetched without it."),
    limit: int | None = typer.Option(None, help="Read only that many of the oldest events."),
    replay_events: int = typer.Option(3000, min=2, help="How many of the newest events to hold out and replay."),
    recipe: str = typer.Option("demo", help="Named configuration of `training/config.py`."),
    json_file: JsonOption = None,
) -> None:
    """Stream a public data set, train on it, serve the model and measure its recommendations live.

    Starts the local stack if it is not up, and leaves it running with the gateway; `nextclick down` ends both.

    Example: `nextclick demo --json demo.json`
    """
    began = time.monotonic()
    with StepBars() as bars:
        result = run_demo(Options(dataset, path, limit, replay_events, recipe), bars)
    result["seconds"] = round(time.monotonic() - began, 1)
    print_result(result)
    write_json(json_file, result)


def print_result(result: dict[str, Any]) -> None:
    """Print what was measured, and what to try next."""
    _print_accuracy(result)
    _print_operations(result)
    session, gateway = result["example_session"], result["gateway"]
    body = f'{{"session_id": "{session}", "page_size": 5}}'
    plain: dict[str, Any] = {"highlight": False, "markup": False, "soft_wrap": True}
    console.print("\nThe stack keeps running (`nextclick down` ends it). Try:", highlight=False)
    console.print(f"  grpcurl -plaintext -d '{body}' {gateway} nextclick.serving.v1.Recommender/Recommend", **plain)
    nextclick = (
        "nextclick" if shutil.which("nextclick") else os.path.relpath(Path(sys.executable).with_name("nextclick"))
    )
    console.print(f"  {nextclick} recommend --gateway {gateway} --session-id {session}", **plain)


def _print_accuracy(result: dict[str, Any]) -> None:
    seen = "excluded" if result["seen_items_excluded"] else "included"
    table = Table("next item of the live sessions", "HR@10", "NDCG@10", "MRR@10")
    for name, scores in result["accuracy"].items():
        table.add_row(name, *(f"{scores[metric]:.4f}" for metric in ("hr_at_10", "ndcg_at_10", "mrr_at_10")))
    console.print(table)
    console.print(
        f"{result['predictions']} predictions over gRPC, ranked among all {result['dataset']['items']} items, "
        f"seen items {seen}; data: {result['licence']}",
        highlight=False,
    )


def _print_operations(result: dict[str, Any]) -> None:
    table = Table("live replay", "", show_header=True)
    gateway, fresh = result["gateway_ms"], result["event_to_answer_ms"]
    table.add_row("gateway p50 / p99", f"{gateway['p50']:.1f} / {gateway['p99']:.1f} ms")
    table.add_row("event → visible in the answer p50 / p99", f"{fresh['p50']:.1f} / {fresh['p99']:.1f} ms")
    counts = f"{result['requests']} / {result['errors']} / {result['degraded']}"
    table.add_row("requests / errors / degraded answers", counts)
    training = result["training"]
    table.add_row("model", f"version {result['model_version']}, {training['epochs']} epochs in {training['seconds']} s")
    table.add_row("the whole demo", f"{result['seconds']:.0f} s")
    console.print(table)
