"""Trains the session transformer with early stopping; a run that was interrupted resumes to the same result."""

import shutil
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import torch

from training.config import TrainingConfig
from training.dataset import Windows, question_windows, training_batches, training_windows
from training.errors import DataError, RunError
from training.evaluate import model_ranks
from training.metrics import Metrics, summarise
from training.model import SessionTransformer, pick_device
from training.objectives import next_item_loss
from training.prepare import fill_item_features, load_sessions, prepare
from training.runs import Run, create_run, mark_latest, open_run, write_json
from training.settings import TrainingSettings


@dataclass(frozen=True, slots=True)
class EpochReport:
    """What is known after an epoch; `epoch` counts from 1."""

    epoch: int
    max_epochs: int
    loss: float
    validation: Metrics
    seconds: float


Progress = Callable[[EpochReport], None]


@dataclass(frozen=True, slots=True)
class TrainingResult:
    """A finished run; `validation` is of the best epoch, seen items excluded."""

    run: Run
    epochs: int
    best_epoch: int
    validation: Metrics
    stopped_by: str
    seconds: float


def train(
    config: TrainingConfig,
    settings: TrainingSettings,
    progress: Progress | None = None,
    run_name: str | None = None,
    resume: bool = False,
) -> TrainingResult:
    """Train on the archive and leave a run folder that `evaluate` and `export` read.

    With `resume`, continue the run `run_name` (the newest unfinished or finished one when None) under the
    configuration it was started with. Raises DataError for an archive too small, RunError for a run not there.
    """
    began = time.monotonic()
    if resume:
        run = open_run(settings, run_name or _newest_run_name(settings))
        config = run.config
    else:
        run = create_run(settings, config)
    try:
        if not (run.path / "vocabulary.json").exists():
            prepare(run, config, settings)
        with torch.random.fork_rng():
            torch.manual_seed(config.seed)
            trainer = Trainer(run, config, pick_device(settings.device))
            stopped_by = trainer.fit(progress, began)
    except DataError:
        if not resume:
            shutil.rmtree(run.path)  # what it froze is too little for ever: nothing to resume
        raise
    return _finish(trainer, stopped_by, time.monotonic() - began)


def _newest_run_name(settings: TrainingSettings) -> str:
    names = sorted(path.parent.name for path in settings.runs_path.glob("*/config.json"))
    if not names:
        raise RunError(f"no run to resume under {settings.runs_path}")
    return names[-1]


def _finish(trainer: "Trainer", stopped_by: str, seconds: float) -> TrainingResult:
    state = trainer.state
    best = Metrics(**state.best)
    metrics = {
        "validation": state.best,
        "seen_items_excluded": True,
        "best_epoch": state.best_epoch,
        "epochs": state.epoch,
        "stopped_by": stopped_by,
        "seconds": round(seconds, 1),
        "history": state.history,
    }
    write_json(trainer.run.metrics_file, metrics)
    mark_latest(trainer.run)
    return TrainingResult(trainer.run, state.epoch, state.best_epoch, best, stopped_by, seconds)


@dataclass(slots=True)
class State:
    """What changes from epoch to epoch besides weights, optimiser and random numbers."""

    epoch: int = 0
    step: int = 0
    best_epoch: int = 0
    best: dict[str, Any] = field(default_factory=dict)
    history: list[dict[str, Any]] = field(default_factory=list)


class Trainer:
    """Model, optimiser and data of one run; picks up the run's checkpoint when there is one."""

    def __init__(self, run: Run, config: TrainingConfig, device: torch.device) -> None:
        self.run, self.config, self.device = run, config, device
        self.sessions, self.validation = load_sessions(run, config)
        self.windows = training_windows(self.sessions)
        self.questions = _spread(question_windows(self.validation, exclude_seen=True), config.data.max_validation_cases)
        if not len(self.questions.start):
            raise DataError("no validation session asks for an item it has not seen: archive more sessions")
        self.model = SessionTransformer(run.vocabulary, config.model)
        for sessions in (self.sessions, self.validation):
            fill_item_features(self.model.items, sessions)
        self.model.to(device)
        self.optimizer = _optimizer(self.model, config)
        self.state = State()
        self.best_model = self._weights()
        if run.checkpoint_file.exists():
            self._restore()

    def fit(self, progress: Progress | None, began: float) -> str:
        """Train until something says stop; returns what did: `patience`, `time_limit` or `max_epochs`."""
        while (reason := self._reason_to_stop(began)) is None:
            epoch_began = time.monotonic()
            loss = self._train_epoch()
            metrics = summarise(model_ranks(self.model, self.validation, self.questions, True, self.device))
            self._note(loss, metrics)
            self._checkpoint()
            if progress:
                seconds = time.monotonic() - epoch_began
                progress(EpochReport(self.state.epoch, self.config.max_epochs, loss, metrics, seconds))
        return reason

    def _reason_to_stop(self, began: float) -> str | None:
        state, config = self.state, self.config
        if state.epoch >= config.max_epochs:
            return "max_epochs"
        if state.epoch - state.best_epoch >= config.patience:
            return "patience"
        late = config.time_limit_s is not None and time.monotonic() - began > config.time_limit_s
        return "time_limit" if late and state.epoch > 0 else None

    def _train_epoch(self) -> float:
        """One pass over all windows; returns the mean loss of its batches."""
        self.model.train()
        rng = np.random.default_rng((self.config.seed, self.state.epoch))
        losses = [
            self._train_batch(batch.to(self.device))
            for batch in training_batches(self.sessions, self.windows, self.config.batch_size, rng)
        ]
        return float(torch.stack(losses).mean())

    def _train_batch(self, batch: Any) -> torch.Tensor:
        self.state.step += 1
        for group in self.optimizer.param_groups:
            group["lr"] = self.config.learning_rate * min(1.0, self.state.step / max(1, self.config.warmup_steps))
        with torch.autocast("cuda", torch.bfloat16, enabled=self.device.type == "cuda"):
            item_VD = self.model.items()
            inputs = batch.item_index_BT, batch.event_type_index_BT, batch.gap_bucket_BT
            loss = next_item_loss(self.model(*inputs, item_VD), batch.target_BT, item_VD)
        self.optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), self.config.clip_norm)
        self.optimizer.step()
        return loss.detach()

    def _note(self, loss: float, metrics: Metrics) -> None:
        state = self.state
        state.epoch += 1
        state.history.append({"epoch": state.epoch, "loss": loss, **asdict(metrics)})
        if not state.best or metrics.ndcg_at_10 > state.best["ndcg_at_10"]:
            state.best, state.best_epoch = asdict(metrics), state.epoch
            self.best_model = self._weights()

    def _weights(self) -> dict[str, torch.Tensor]:
        return {name: tensor.detach().cpu().clone() for name, tensor in self.model.state_dict().items()}

    def _checkpoint(self) -> None:
        """Everything the next epoch depends on; the order of batches follows from seed and epoch alone."""
        temporary = self.run.checkpoint_file.with_suffix(".tmp")
        torch.save(
            {
                "state": asdict(self.state),
                "model": self._weights(),
                "best_model": self.best_model,
                "optimizer": self.optimizer.state_dict(),
                "cpu_rng": torch.get_rng_state(),
                "cuda_rng": torch.cuda.get_rng_state_all() if self.device.type == "cuda" else [],
            },
            temporary,
        )
        temporary.replace(self.run.checkpoint_file)

    def _restore(self) -> None:
        saved = torch.load(self.run.checkpoint_file, map_location=self.device, weights_only=True)
        self.state = State(**saved["state"])
        self.model.load_state_dict(saved["model"])
        self.best_model = {name: tensor.cpu() for name, tensor in saved["best_model"].items()}
        self.optimizer.load_state_dict(saved["optimizer"])
        torch.set_rng_state(saved["cpu_rng"].cpu())
        if self.device.type == "cuda" and saved["cuda_rng"]:
            torch.cuda.set_rng_state_all([state.cpu() for state in saved["cuda_rng"]])


def _optimizer(model: SessionTransformer, config: TrainingConfig) -> torch.optim.AdamW:
    matrices = [parameter for parameter in model.parameters() if parameter.dim() >= 2]
    vectors = [parameter for parameter in model.parameters() if parameter.dim() < 2]
    groups = [{"params": matrices, "weight_decay": config.weight_decay}, {"params": vectors, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=config.learning_rate)


def _spread(windows: Windows, at_most: int) -> Windows:
    """At most that many windows, evenly spread over all."""
    count = len(windows.start)
    chosen = np.unique(np.linspace(0, count - 1, min(count, at_most)).round().astype(np.int64))
    return Windows(windows.start[chosen], windows.length[chosen])
