"""What is tuned: frozen configurations, and the recipes that name good ones."""

from dataclasses import asdict, dataclass, field, replace
from typing import Any, Self

from training.errors import RecipeError


@dataclass(frozen=True, slots=True)
class DataConfig:
    """How sessions are split by time and how time itself is cut into buckets."""

    test_share: float = 0.1
    """Share of sessions, the newest by start, that training never sees; `evaluate` measures on them."""
    validation_share: float = 0.05
    """Share of the remaining sessions, again the newest, that decide when to stop."""
    max_validation_cases: int = 3000
    """Next-item questions asked of the validation sessions after each epoch, spread evenly over them."""
    gap_boundaries_s: tuple[float, ...] = (0.0, 1.0, 5.0, 15.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0)
    """Lower bounds, in seconds, of the buckets of the gap since the event before; bucket 0 is "no event before"."""
    partition_rows: int = 500_000
    """Events in a Dask partition; a session is never cut between two."""

    def __post_init__(self) -> None:
        _check(0 <= self.test_share < 1, "test_share must be in [0, 1)")
        _check(0 < self.validation_share < 1, "validation_share must be in (0, 1)")
        _check(self.max_validation_cases > 0, "max_validation_cases must be positive")
        _check(self.partition_rows > 0, "partition_rows must be positive")
        _check(self.gap_boundaries_s[:1] == (0.0,), "gap_boundaries_s must start at 0")
        _check(sorted(set(self.gap_boundaries_s)) == list(self.gap_boundaries_s), "gap_boundaries_s must increase")


@dataclass(frozen=True, slots=True)
class ModelConfig:
    """Size and regularisation of the session transformer."""

    width: int = 64
    """Length of an item's vector (D)."""
    blocks: int = 2
    """Transformer blocks, one after the other."""
    heads: int = 2
    """Attention heads in a block; must divide `width`."""
    dropout: float = 0.5
    """Share of activations dropped in training, of the input and of what each layer adds; attention is left whole."""

    def __post_init__(self) -> None:
        _check(self.width > 0 and self.blocks > 0 and self.heads > 0, "width, blocks and heads must be positive")
        _check(self.width % self.heads == 0, "heads must divide width")
        _check(0 <= self.dropout < 1, "dropout must be in [0, 1)")


@dataclass(frozen=True, slots=True)
class TrainingConfig:
    """One training run, reproducible on one kind of CPU from this and the archive alone."""

    data: DataConfig = field(default_factory=DataConfig)
    model: ModelConfig = field(default_factory=ModelConfig)
    seed: int = 17
    """Of the initial weights, the order of batches and dropout."""
    max_epochs: int = 60
    """Upper limit; early stopping usually ends sooner."""
    patience: int = 5
    """Epochs without a better validation NDCG@10 after which training stops."""
    time_limit_s: float | None = None
    """Wall-clock seconds after which no new epoch starts; None has no limit. A run it ends is not reproducible."""
    batch_size: int = 64
    """Windows in a batch; windows of similar length share one."""
    learning_rate: float = 1e-3
    """Of AdamW, reached after `warmup_steps`, then constant."""
    warmup_steps: int = 100
    """Batches over which the learning rate rises from nothing."""
    weight_decay: float = 0.01
    """Of AdamW, on matrices only."""
    clip_norm: float = 1.0
    """Gradients are scaled down to at most this norm."""

    def __post_init__(self) -> None:
        _check(self.max_epochs > 0 and self.patience > 0, "max_epochs and patience must be positive")
        _check(self.batch_size > 0 and self.warmup_steps >= 0, "batch_size must be positive, warmup_steps not negative")
        _check(self.learning_rate > 0 and self.clip_norm > 0, "learning_rate and clip_norm must be positive")
        _check(self.weight_decay >= 0, "weight_decay must not be negative")
        _check(self.time_limit_s is None or self.time_limit_s > 0, "time_limit_s must be positive or None")

    def to_dict(self) -> dict[str, Any]:
        """The plain form kept in a run's config.json."""
        return asdict(self)

    @classmethod
    def from_dict(cls, plain: dict[str, Any]) -> Self:
        """Inverse of `to_dict`, also after a trip through JSON.

        Raises TypeError for a field that does not exist, ValueError for a value out of range.
        """
        data = dict(plain["data"])
        data["gap_boundaries_s"] = tuple(data["gap_boundaries_s"])
        return cls(**{**plain, "data": DataConfig(**data), "model": ModelConfig(**plain["model"])})


def _check(holds: bool, message: str) -> None:
    if not holds:
        raise ValueError(message)


_DEFAULT = TrainingConfig()

RECIPES: dict[str, TrainingConfig] = {
    # The archive holds older events only, the newest are replayed later: nothing to keep back here.
    "demo": replace(_DEFAULT, data=DataConfig(test_share=0.0), time_limit_s=150),
    "default": _DEFAULT,
    # Seconds on one core, for tests.
    "tiny": replace(
        _DEFAULT,
        model=ModelConfig(width=32, blocks=1, heads=2, dropout=0.0),
        max_epochs=20,
        batch_size=32,
        learning_rate=1e-2,
        warmup_steps=0,
    ),
}


def recipe(name: str) -> TrainingConfig:
    """The recipe of that name; RecipeError lists the names there are."""
    if name not in RECIPES:
        raise RecipeError(f"there is no recipe {name!r}: choose one of {', '.join(sorted(RECIPES))}")
    return RECIPES[name]
