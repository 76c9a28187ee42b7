"""`nextclick export`: publish a trained run as the next version that Triton serves."""

from collections.abc import Callable

import typer

from nextclick.report import JsonOption, console, write_json


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
    with console.status("exporting") as line:
        if load:
            version = publish(run_name, line.update, device, instances)
        else:
            version = write_version(run_name, device, instances)
    console.print(f"version {version} is {'served' if load else 'written'}", highlight=False)
    write_json(json_file, {"version": version, "served": load})


def write_version(run_name: str | None, device: str | None = None, instances: int | None = None) -> str:
    """Write the models of a run into the repository; the version."""
    from training.export import export
    from training.settings import TrainingSettings

    given = {"triton_device": device, "triton_instances": instances}
    settings = TrainingSettings.model_validate({name: value for name, value in given.items() if value is not None})
    return str(export(settings, run_name).version)


def publish(
    run_name: str | None, note: Callable[[str], None], device: str | None = None, instances: int | None = None
) -> str:
    """Write a version and have every Triton serve it; the version."""
    from nextclick.stack.addresses import TRITON, apply_to_environment
    from training.registry import load

    addresses = apply_to_environment(require=(TRITON,))
    note("writing ONNX models")
    version = write_version(run_name, device, instances)
    load(addresses.triton_grpc_url, int(version), note=note)
    return version
