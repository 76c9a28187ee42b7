"""The NVTabular workflow: from archived events to sessions of indices, fitted once a run and saved with it."""

import importlib
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import numpy.typing as npt
import pandas as pd

from feature_repo.schema import FIRST_INDEX
from runtime.environment import environment_kept
from training.config import DataConfig
from training.data.vocabulary import Vocabulary
from training.errors import DataError

if TYPE_CHECKING:
    from nvtabular import Workflow

CATEGORICAL = ["item_id", "event_type", "category"]
EVENT_ARRAYS = ("item_index", "event_type_index", "gap_bucket", "category_index", "price")
IntArray = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class EncodedSessions:
    """Sessions as indices, laid end to end. N counts events, S sessions; sessions are ordered by start, then id.

    Session s holds the events `offsets[s]` up to `offsets[s + 1]`.
    """

    session_ids: list[str]
    start_ms: IntArray  # (S,)
    offsets: IntArray  # (S + 1,)
    item_index: IntArray  # (N,)
    event_type_index: IntArray  # (N,)
    gap_bucket: IntArray  # (N,)
    category_index: IntArray  # (N,), of the event's item
    price: npt.NDArray[np.float32]  # (N,), of the event's item: log, zero mean, unit variance; 0 where unknown

    @property
    def lengths(self) -> IntArray:
        """Events of each session, (S,)."""
        return np.diff(self.offsets)

    def slice(self, first: int, end: int) -> "EncodedSessions":
        """Sessions `first` up to `end`."""
        events = slice(self.offsets[first], self.offsets[end])
        return EncodedSessions(
            self.session_ids[first:end],
            self.start_ms[first:end],
            self.offsets[first : end + 1] - self.offsets[first],
            **{name: getattr(self, name)[events] for name in EVENT_ARRAYS},
        )

    def save(self, path: Path) -> None:
        """Write all arrays to one .npz file."""
        arrays = {name: getattr(self, name) for name in ("start_ms", "offsets", *EVENT_ARRAYS)}
        np.savez(path, session_ids=np.array(self.session_ids, dtype=np.str_), **arrays)

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read what `save` wrote."""
        with np.load(path, allow_pickle=False) as arrays:
            return cls(**{**arrays, "session_ids": arrays["session_ids"].tolist()})


def fit_workflow(
    events: pd.DataFrame,
    items: pd.DataFrame,
    config: DataConfig,
    folder: Path,
    dask_scheduler_address: str | None = None,
) -> "Workflow":
    """Fit Categorify, LogOp/Normalize, Bucketize and Groupby on events as `sessions.read_events` gives them, and save
    the workflow in `folder`.

    Runs on the Dask cluster at that address when one is given; its workers need this machine's file system.
    Raises DataError when there is nothing to fit on.
    """
    if events.empty:
        raise DataError("no events to fit the workflow on")
    with (
        _nvtabular(),
        _dask_client(dask_scheduler_address),
        tempfile.TemporaryDirectory(prefix=".categorify-", dir=folder.parent) as scratch,
    ):
        import nvtabular as nvt

        workflow = nvt.Workflow(_graph(config, scratch))
        workflow.fit(_dataset(events, items, config.partition_rows))
        workflow.save(folder)
    return workflow


def _graph(config: DataConfig, scratch: str) -> Any:
    from nvtabular import ops

    categories = CATEGORICAL >> ops.Categorify(out_path=scratch)
    price = ["price"] >> ops.LogOp() >> ops.Normalize() >> ops.FillMissing(0)
    gap = ["gap_ms"] >> ops.Bucketize({"gap_ms": list(gap_boundaries_ms(config))}) >> ops.Rename(name="gap_bucket")
    keys = ["session_id", "event_id", "timestamp_ms"]
    lists = {name: ["list"] for name in [*CATEGORICAL, "price", "gap_bucket"]}
    return (categories + price + gap + keys) >> ops.Groupby(
        groupby_cols=["session_id"],
        sort_cols=["timestamp_ms", "event_id"],
        aggs={**lists, "timestamp_ms": ["first"]},
        name_sep="-",
    )


def gap_boundaries_ms(config: DataConfig) -> tuple[int, ...]:
    """The configured lower bounds in whole milliseconds."""
    return tuple(round(seconds * 1000) for seconds in config.gap_boundaries_s)


def encode(workflow: "Workflow", events: pd.DataFrame, items: pd.DataFrame, config: DataConfig) -> EncodedSessions:
    """Run the fitted workflow over events as `sessions.read_events` gives them; unknown strings become
    OUT_OF_VOCABULARY_INDEX."""
    with _nvtabular():
        rows = workflow.transform(_dataset(events, items, config.partition_rows)).to_ddf().compute()
    rows = rows.sort_values(["timestamp_ms-first", "session_id"], ignore_index=True)
    lengths = rows["item_id-list"].map(len).to_numpy(np.int64)

    def flat(name: str, dtype: type) -> npt.NDArray[Any]:
        return np.concatenate(rows[f"{name}-list"].tolist()).astype(dtype)

    return EncodedSessions(
        session_ids=rows["session_id"].tolist(),
        start_ms=rows["timestamp_ms-first"].to_numpy(np.int64),
        offsets=np.concatenate([[0], np.cumsum(lengths)]),
        item_index=flat("item_id", np.int64),
        event_type_index=flat("event_type", np.int64),
        gap_bucket=flat("gap_bucket", np.int64),
        category_index=flat("category", np.int64),
        price=flat("price", np.float32),
    )


def read_vocabulary(folder: Path, config: DataConfig) -> Vocabulary:
    """The vocabulary of the workflow saved in `folder`, as its Categorify operators wrote it."""

    def entries(name: str) -> tuple[str, ...]:
        column = pd.read_parquet(folder / "categories" / f"unique.{name}.parquet")[name]
        if column.index[0] != FIRST_INDEX:
            raise DataError(f"Categorify starts {name} at {column.index[0]}, not at {FIRST_INDEX}: check NVTabular")
        return tuple(column.tolist())

    item_ids, event_types, categories = (entries(name) for name in CATEGORICAL)
    return Vocabulary(item_ids, event_types, categories, gap_boundaries_ms(config))


def load_workflow(folder: Path) -> "Workflow":
    """Read a workflow that this program saved: NVTabular's format is a pickle, so take none from elsewhere."""
    with _nvtabular():
        import nvtabular as nvt

        return nvt.Workflow.load(folder)


def _dataset(events: pd.DataFrame, items: pd.DataFrame, partition_rows: int) -> Any:
    """Events with their item's features, partitioned so that no session is cut: Groupby moves no rows."""
    import dask.dataframe as dd
    from nvtabular import Dataset

    joined = events.merge(items, on="item_id", how="left", validate="many_to_one")
    joined["category"] = joined["category"].fillna("")
    joined.index = pd.Index(pd.factorize(joined["session_id"])[0])  # dask keeps equal index values together
    partitions = max(1, round(len(joined) / partition_rows))
    return Dataset(dd.from_pandas(joined, npartitions=partitions), cpu=True)


def _dask_client(address: str | None) -> Any:
    if address is None:
        return nullcontext()
    from distributed import Client

    return Client(address)


@contextmanager
def _nvtabular() -> Iterator[None]:
    """NVTabular 23.8 on a current stack: silence what it is known to warn of, and keep dask from turning lists into
    strings."""
    known = [
        (DeprecationWarning, "The current Dask DataFrame implementation is deprecated"),
        (DeprecationWarning, r"invalid escape sequence"),
        (UserWarning, "Tensorflow dtype mappings did not load"),
        (UserWarning, "Initializing an NVTabular Dataset in CPU mode"),
        (UserWarning, "Running on a single-machine scheduler"),
    ]
    with warnings.catch_warnings():
        for category, start in known:
            warnings.filterwarnings("ignore", message=r"\s*" + start, category=category)
        import dask

        with environment_kept():
            importlib.import_module("nvtabular")  # merlin.schema, in it, sets a variable
        with dask.config.set({"dataframe.convert-string": False}):
            yield
