"""A trained run becomes the next version that Triton serves: the work of `nextclick export`, `train` and `demo`."""

from collections.abc import Callable


def write_version(run_name: str | None, device: str | None = None, instances: int | None = None) -> str:
    """Write the models of a run into the repository; the version."""
    from training.export.ensemble import export
    from training.settings import TrainingSettings

    given = {"triton_device": device, "triton_instances": instances}
    settings = TrainingSettings.model_validate({name: value for name, value in given.items() if value is not None})
    return str(export(settings, run_name).version)


def publish(
    run_name: str | None, note: Callable[[str], None], device: str | None = None, instances: int | None = None
) -> str:
    """Write a version and have every Triton serve it; the version."""
    from nextclick.stack.addresses import TRITON, apply_to_environment
    from training.export.triton_load import load

    addresses = apply_to_environment(require=(TRITON,))
    note("writing ONNX models")
    version = write_version(run_name, device, instances)
    load(addresses.triton_grpc_url, int(version), note=note)
    return version
