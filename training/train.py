"""Trains the session transformer with early stopping; a run that was interrupted resumes to the same result."""

import shutil
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import torch

from training.config import TrainingConfig
from training.data.dataset import Batch, Windows, question_windows, training_batches, training_windows
from training.distributed import Team, join_team
from training.errors import DataError, RunError
from training.evaluation.evaluate import model_ranks
from training.evaluation.metrics import Metrics, summarise
from training.models.objectives import next_item_loss
from training.models.session_transformer import SessionTransformer
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
    configuration it was started with. Under torchrun every process calls this and gets the same result; the first one
    alone reads the archive, writes the run and calls `progress`.

    Raises DataError for an archive too small, RunError for a run not there, TeamError when other processes are gone.
    """
    began = time.monotonic()
    with join_team(settings.device) as team:
        run = open_run(settings, team.first(lambda: _prepared_run(config, settings, run_name, resume)))
        with torch.random.fork_rng():
            torch.manual_seed(run.config.seed)
            trainer = Trainer(run, run.config, team)
            stopped_by = trainer.fit(progress, began)
        result = _result(trainer, stopped_by, time.monotonic() - began)
        team.first(lambda: _finish(trainer, result))
    return result


def _prepared_run(config: TrainingConfig, settings: TrainingSettings, run_name: str | None, resume: bool) -> str:
    """Name of the run to train, with its data in it."""
    if resume:
        run = open_run(settings, run_name or _newest_run_name(settings))
        config = run.config
    else:
        run = create_run(settings, config)
    try:
        if not (run.path / "vocabulary.json").exists():
            prepare(run, config, settings)
    except DataError:
        if not resume:
            shutil.rmtree(run.path)  # what it froze is too little for ever: nothing to resume
        raise
    return run.name


def _newest_run_name(settings: TrainingSettings) -> str:
    names = sorted(path.parent.name for path in settings.runs_path.glob("*/config.json"))
    if not names:
        raise RunError(f"no run to resume under {settings.runs_path}")
    return names[-1]


def _result(trainer: "Trainer", stopped_by: str, seconds: float) -> TrainingResult:
    state = trainer.state
    return TrainingResult(trainer.run, state.epoch, state.best_epoch, Metrics(**state.best), stopped_by, seconds)


def _finish(trainer: "Trainer", result: TrainingResult) -> None:
    metrics = {
        "validation": trainer.state.best,
        "seen_items_excluded": True,
        "best_epoch": result.best_epoch,
        "epochs": result.epochs,
        "stopped_by": result.stopped_by,
        "seconds": round(result.seconds, 1),
        "history": trainer.state.history,
    }
    write_json(result.run.metrics_file, metrics)
    mark_latest(result.run)


@dataclass(slots=True)
class State:
    """What changes from epoch to epoch besides weights, optimiser and random numbers."""

    epoch: int = 0
    step: int = 0
    best_epoch: int = 0
    best: dict[str, Any] = field(default_factory=dict)
    history: list[dict[str, Any]] = field(default_factory=list)


class Trainer:
    """Model, optimiser and data of one run; picks up the run's checkpoint when there is one.

    Every process of a team has one, with the same weights throughout; the first one's alone validates and writes.
    """

    def __init__(self, run: Run, config: TrainingConfig, team: Team) -> None:
        self.run, self.config, self.team, self.device = run, config, team, team.device
        self.sessions, self.validation = load_sessions(run, config)
        self.windows = training_windows(self.sessions)
        self.questions = _spread(question_windows(self.validation, exclude_seen=True), config.data.max_validation_cases)
        self.model = SessionTransformer(run.vocabulary, config.model)
        for sessions in (self.sessions, self.validation):
            fill_item_features(self.model.items, sessions)
        self.model.to(self.device)
        self.optimizer = _optimizer(self.model, config)
        self.state = State()
        self.best_model = self._weights()
        if run.checkpoint_file.exists():
            self._restore()

    def fit(self, progress: Progress | None, began: float) -> str:
        """Train until something says stop; returns what did: `patience`, `time_limit` or `max_epochs`."""
        while (reason := self.team.share(self._reason_to_stop(began))) is None:
            epoch_began = time.monotonic()
            loss = self._train_epoch()
            if self.team.is_first:
                metrics = summarise(model_ranks(self.model, self.validation, self.questions, True, self.device))
                self._note(loss, metrics)
                self._checkpoint()
                if progress:
                    seconds = time.monotonic() - epoch_began
                    progress(EpochReport(self.state.epoch, self.config.max_epochs, loss, metrics, seconds))
            self.state = State(**self.team.share(asdict(self.state)))
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
        if not self.team.is_alone:
            torch.manual_seed(_dropout_seed(self.config.seed, self.state.epoch, self.team.rank))
        rng = np.random.default_rng((self.config.seed, self.state.epoch))
        losses = [
            self._train_batch(batch)
            for batch in training_batches(self.sessions, self.windows, self.config.batch_size, rng)
        ]
        return float(self.team.total(torch.stack(losses).mean()))

    def _train_batch(self, batch: Batch) -> torch.Tensor:
        """One step. A team splits the batch, so that it makes the same step as one process, dropout aside."""
        self.state.step += 1
        for group in self.optimizer.param_groups:
            group["lr"] = self.config.learning_rate * min(1.0, self.state.step / max(1, self.config.warmup_steps))
        self.optimizer.zero_grad()
        if self.team.is_alone:
            loss = self._loss(batch)
            loss.backward()
        else:
            part = batch.part(self.team.rank, self.team.size)
            loss = torch.zeros((), device=self.device)
            if len(part.target_BT):  # the last batch may have fewer rows than there are processes
                loss = self._loss(part, batch.positions)
                loss.backward()
            self.team.add_gradients(self.model.parameters())
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), self.config.clip_norm)
        self.optimizer.step()
        return loss.detach()

    def _loss(self, batch: Batch, positions: int | None = None) -> torch.Tensor:
        batch = batch.to(self.device)
        with torch.autocast("cuda", torch.bfloat16, enabled=self.device.type == "cuda"):
            item_VD = self.model.items()
            inputs = batch.item_index_BT, batch.event_type_index_BT, batch.gap_bucket_BT
            return next_item_loss(self.model(*inputs, item_VD), batch.target_BT, item_VD, positions)

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
        """Everything the next epoch depends on; the order of batches follows from seed and epoch alone, and so does a
        team's dropout."""
        alone_on_cuda = self.team.is_alone and self.device.type == "cuda"
        temporary = self.run.checkpoint_file.with_suffix(".tmp")
        torch.save(
            {
                "state": asdict(self.state),
                "model": self._weights(),
                "best_model": self.best_model,
                "optimizer": self.optimizer.state_dict(),
                "cpu_rng": torch.get_rng_state(),
                "cuda_rng": torch.cuda.get_rng_state_all() if alone_on_cuda else [],
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
        if self.team.is_alone and self.device.type == "cuda" and saved["cuda_rng"]:
            torch.cuda.set_rng_state_all([state.cpu() for state in saved["cuda_rng"]])


def _dropout_seed(seed: int, epoch: int, rank: int) -> int:
    """Processes of a team drop different activations, and a resumed one the same as if it had not been interrupted."""
    return int(np.random.SeedSequence((seed, epoch, rank)).generate_state(1)[0])


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
