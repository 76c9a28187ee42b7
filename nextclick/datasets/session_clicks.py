"""Reads `SessionId ItemId Time` tables (tab, seconds): the format of Serenade's example and of prepared Yoochoose."""

from collections.abc import Iterator
from pathlib import Path

from nextclick.datasets.dataset import Action, ActionEvents, Dataset, actions_of, in_time_order, items_of, session_count
from nextclick.datasets.files import find_files, parse_id, parse_seconds, read_rows

COLUMNS = ("SessionId", "ItemId", "Time")

LAYOUTS = (
    ("train.txt", "valid.txt", "test.txt"),
    # A GRU4Rec-style split holds its training clicks twice: whole, and again as train_tr plus train_valid.
    ("*train_full.txt", "*test.txt"),
    ("*.txt",),
)


def read_serenade(path: Path, limit: int | None) -> Dataset:
    return _read(path, limit, "serenade", "bol.com example data of the Serenade project, Apache-2.0")


def read_yoochoose(path: Path, limit: int | None) -> Dataset:
    return _read(path, limit, "yoochoose", "RecSys Challenge 2015 terms, non-commercial use only")


def _read(path: Path, limit: int | None, name: str, licence: str) -> Dataset:
    files = find_files(path, *LAYOUTS)
    actions = in_time_order(actions_of(files, _clicks), limit)
    return Dataset(name, items_of(actions), ActionEvents(name, actions), session_count(actions), True, licence)


def _clicks(file: Path) -> Iterator[Action]:
    for line, (session, item, time) in read_rows(file, COLUMNS):
        yield Action(
            parse_seconds(file, line, time),
            parse_id(file, line, "a SessionId", session),
            parse_id(file, line, "an ItemId", item),
        )
