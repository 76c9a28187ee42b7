"""What the training stage reads from the environment besides the shared settings."""

from typing import Literal

from feature_repo.settings import SharedSettings


class TrainingSettings(SharedSettings):
    """Addresses and devices; what is tuned stands in a recipe of `training.config` instead."""

    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    """Where the model is trained and evaluated; `auto` takes cuda, then mps, then cpu."""
    dask_scheduler_address: str | None = None
    """`tcp://host:port` of a Dask scheduler that fits the NVTabular workflow; None fits it in this process."""
