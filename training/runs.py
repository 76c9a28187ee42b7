"""A training run's folder: what is in it, how it is found, how its model is read back."""

import json
import os
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from training.config import TrainingConfig
from training.data.vocabulary import Vocabulary
from training.errors import RunError
from training.settings import TrainingSettings

if TYPE_CHECKING:
    from training.models.session_transformer import SessionTransformer

LATEST_FILE = "latest"


@dataclass(frozen=True, slots=True)
class Run:
    """RUNS_PATH/<name>/ and the files of one training run in it."""

    path: Path

    @property
    def name(self) -> str:
        return self.path.name

    @property
    def config_file(self) -> Path:
        return self.path / "config.json"

    @property
    def workflow_folder(self) -> Path:
        return self.path / "workflow"

    @property
    def sessions_file(self) -> Path:
        """Encoded training and validation sessions: a resumed run sees the same ones, whatever was archived since."""
        return self.path / "sessions.npz"

    @property
    def checkpoint_file(self) -> Path:
        return self.path / "checkpoint.pt"

    @property
    def metrics_file(self) -> Path:
        return self.path / "metrics.json"

    @property
    def config(self) -> TrainingConfig:
        """Raises RunError when the file is missing or of another version of this program."""
        try:
            return TrainingConfig.from_dict(json.loads(self.config_file.read_text()))
        except (OSError, KeyError, TypeError, ValueError) as error:
            raise RunError(f"{self.config_file} cannot be read ({error}): train again") from error

    @property
    def vocabulary(self) -> Vocabulary:
        return Vocabulary.load(self.path)


def create_run(settings: TrainingSettings, config: TrainingConfig) -> Run:
    """A new folder named by the time in UTC, with config.json in it."""
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%S.%f")[:-3]
    run = Run(settings.runs_path / stamp)
    run.path.mkdir(parents=True)
    write_json(run.config_file, config.to_dict())
    return run


def open_run(settings: TrainingSettings, name: str | None = None) -> Run:
    """The run of that name, or the newest one that finished. Raises RunError when there is none."""
    if name is None:
        latest = settings.runs_path / LATEST_FILE
        if not latest.exists():
            raise RunError(f"no finished run under {settings.runs_path}: train first, with `nextclick train`")
        name = latest.read_text().strip()
    run = Run(settings.runs_path / name)
    if not run.config_file.exists():
        raise RunError(f"no run {name!r} under {settings.runs_path}")
    return run


def mark_latest(run: Run) -> None:
    """Let `open_run` find this run by default."""
    write_atomically(run.path.parent / LATEST_FILE, f"{run.name}\n".encode())


def load_model(run: Run) -> "SessionTransformer":
    """The run's best model, on the CPU, in evaluation mode. Raises RunError when no epoch was finished."""
    import torch

    from training.models.session_transformer import SessionTransformer

    if not run.checkpoint_file.exists():
        raise RunError(f"run {run.name} has no checkpoint: resume it, with `nextclick train --resume`")
    checkpoint = torch.load(run.checkpoint_file, map_location="cpu", weights_only=True)
    model = SessionTransformer(run.vocabulary, run.config.model)
    model.load_state_dict(checkpoint["best_model"])
    return model.eval()


def write_json(path: Path, value: Any) -> None:
    """Write a JSON file at once, readable by people."""
    write_atomically(path, (json.dumps(value, indent=2) + "\n").encode())


def write_atomically(path: Path, content: bytes) -> None:
    """A reader sees the old file or the new one, never a part of either."""
    temporary = path.with_name(f".{path.name}.tmp")
    temporary.write_bytes(content)
    os.replace(temporary, path)
