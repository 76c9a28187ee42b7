"""The data sets that `--dataset` takes, and the one way to read any of them."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from feature_repo.settings import SharedSettings
from nextclick.datasets.amazon import read_amazon
from nextclick.datasets.dataset import Dataset, Progress
from nextclick.datasets.diginetica import read_diginetica
from nextclick.datasets.errors import DatasetError
from nextclick.datasets.globo import read_globo
from nextclick.datasets.movielens import read_movielens
from nextclick.datasets.movielens_wheel import fetch_movielens
from nextclick.datasets.otto import read_otto
from nextclick.datasets.session_clicks import read_serenade, read_yoochoose
from nextclick.datasets.trivago import read_trivago

MOVIELENS = "movielens"


@dataclass(frozen=True)
class Format:
    """A data set's format; `help` says in a line what `--path` should hold."""

    read: Callable[[Path, int | None], Dataset]
    help: str


FORMATS: dict[str, Format] = {
    MOVIELENS: Format(read_movielens, "ratings of films: *.inter and *.item; fetched when there is no --path"),
    "serenade": Format(read_serenade, "shop clicks: train.txt, valid.txt, test.txt (SessionId ItemId Time)"),
    "yoochoose": Format(read_yoochoose, "shop clicks: *train_full.txt, *test.txt (SessionId ItemId Time)"),
    "diginetica": Format(read_diginetica, "shop sessions: train_sessions.txt, test_prefix_target.txt"),
    "amazon": Format(read_amazon, "product reviews: NAME.txt (user item item …), NAME_item2attributes.json"),
    "otto": Format(read_otto, "shop clicks, carts and orders: *.jsonl"),
    "trivago": Format(read_trivago, "hotel search actions: *.parquet"),
    "globo": Format(read_globo, "news clicks: *.parquet sorted by click_timestamp"),
}


def load(name: str, path: Path | None = None, limit: int | None = None, progress: Progress = lambda _: None) -> Dataset:
    """Reads a data set from its folder or file; `limit` keeps that many of its oldest events.

    Without a path MovieLens-100K is fetched into NEXTCLICK_HOME/datasets, once. Raises DatasetError, always one line.
    """
    if name not in FORMATS:
        raise DatasetError(f"--dataset: expected one of {', '.join(FORMATS)}, found {name!r}")
    if limit is not None and limit < 1:
        raise DatasetError(f"--limit: expected at least 1 event, found {limit}")
    path = path if path is not None else _fetch(name, progress)
    progress(f"reading {name} from {path}")
    try:
        dataset = FORMATS[name].read(path, limit)
    except OSError as error:
        raise DatasetError(f"{error.filename or path}: cannot be read: {error.strerror or error}") from error
    if not dataset.event_count:
        raise DatasetError(f"{path}: expected at least one event, found none")
    return dataset


def _fetch(name: str, progress: Progress) -> Path:
    if name != MOVIELENS:
        raise DatasetError(
            f"--dataset {name}: expected its folder or file in --path ({FORMATS[name].help}), found none"
        )
    return fetch_movielens(SharedSettings().nextclick_home / "datasets", progress)
