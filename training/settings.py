"""What the training stage reads from the environment besides the shared settings."""

from typing import Literal

from pydantic import Field

from feature_repo.settings import Location, SharedSettings
from runtime.settings import PROJECT_ROOT


class TrainingSettings(SharedSettings):
    """Addresses and devices; what is tuned stands in a recipe of `training.config` instead."""

    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    """Where the model is trained and evaluated; `auto` takes cuda, then mps, then cpu."""
    dask_scheduler_address: str | None = None
    """`tcp://host:port` of a Dask scheduler that fits the NVTabular workflow; None fits it in this process."""

    model_repository: Location = PROJECT_ROOT / "model_repository"  # type: ignore[assignment]
    """Triton's model repository: a folder, or an fsspec URL (`s3://bucket/prefix`) that Triton reads too."""
    triton_device: Literal["cpu", "gpu"] = "cpu"
    """Where Triton runs session_transformer, from the next exported version on."""
    triton_instances: int = Field(default=1, ge=1)
    """Instances of it on each GPU, or in each Triton on CPUs, from the next exported version on."""
