"""`nextclick export`: publish a trained run as the next version that Triton serves."""

import typer

from nextclick.output import JsonOption, doing, say, write_json
from nextclick.publishing import publish, write_version


def run(
    run_name: str | None = typer.Option(None, "--run", help="Run in RUNS_PATH. [default: the newest]"),
    load: bool = typer.Option(True, help="Have Triton load and warm the version."),
    device: str | None = typer.Option(None, help="Where Triton runs it: cpu or gpu. [default: TRITON_DEVICE or cpu]"),
    instances: int | None = typer.Option(None, help="Instances there. [default: TRITON_INSTANCES or 1]"),
    json_file: JsonOption = None,
) -> None:
    """Write a new version of the ensemble into MODEL_REPOSITORY and switch Triton to it without a pause.

    Example: `nextclick export --json version.json`
    """
    with doing("exporting") as note:
        version = publish(run_name, note, device, instances) if load else write_version(run_name, device, instances)
    say(f"version {version} is {'served' if load else 'written'}")
    write_json(json_file, {"version": version, "served": load})
