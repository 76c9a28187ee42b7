"""Reads the event archive, as visits, and the catalogue, and splits the visits by time."""

import logging
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from feature_repo.archive.folder import open_archive
from feature_repo.archive.reader import read_archive
from feature_repo.catalogue.files import read_items as read_catalogue
from feature_repo.fields import UNFIT
from training.data.visits import cut_visits
from training.errors import DataError

log = logging.getLogger(__name__)

EVENT_COLUMNS = ["event_id", "event_type", "session_id", "item_id", "timestamp_ms"]
NO_GAP_MS = -1
"""Gap of a session's first event: below every boundary, so that it falls into bucket 0."""


@dataclass(frozen=True, slots=True)
class Split:
    """Events of each part, sessions whole; a session of a later part starts no earlier than any of an earlier one."""

    train: pd.DataFrame
    validation: pd.DataFrame
    test: pd.DataFrame


def read_events(archive_path: Path | str) -> pd.DataFrame:
    """All events of the archive as visits, each event_id once, sorted by visit, then event time, then event_id.

    Columns EVENT_COLUMNS; their `session_id` names the visit as `cut_visits` says, so that a session is a visit from
    here on; and `gap_ms`, the time since the event before in it (NO_GAP_MS for the first).

    Raises DataError when there is no event, ArchiveError when the archive cannot be read.
    """
    events = _readable(read_archive(open_archive(archive_path), EVENT_COLUMNS)).to_pandas()
    if events.empty:
        raise DataError(f"no events under {archive_path}: stream some first, with `nextclick archive` running")
    # A duplicate that differs (it should not) loses to the later one in event time, as in the online store.
    events = events.sort_values(["event_id", "timestamp_ms"]).drop_duplicates("event_id", keep="last")
    return with_gaps(cut_visits(events.sort_values(["session_id", "timestamp_ms", "event_id"], ignore_index=True)))


def _readable(events: pa.Table) -> pa.Table:
    """Without the events whose ids hold control characters, which every edge refuses and older archives may have.

    To pandas a string ends at NUL, so that such an item would be one with another, or take its place.
    """
    unfit = pa.array(np.zeros(len(events), bool))
    for name in ("event_id", "session_id", "item_id"):
        unfit = pc.or_(unfit, pc.match_substring_regex(events[name], f"[{UNFIT}]"))
    count = pc.sum(unfit).as_py()
    if count:
        example = events.filter(unfit).slice(0, 1).to_pylist()[0]
        ids = f"item {example['item_id']!a} in session {example['session_id']!a}"
        log.warning(
            "left out of %d events, as their ids hold control characters: %d, first %s", len(events), count, ids
        )
    return events.filter(pc.invert(unfit)) if count else events


def with_gaps(events: pd.DataFrame) -> pd.DataFrame:
    """The events sorted by session, event time and event_id, with `gap_ms` added."""
    events = events.sort_values(["session_id", "timestamp_ms", "event_id"], ignore_index=True)
    gaps = events.groupby("session_id", sort=False)["timestamp_ms"].diff()
    return events.assign(gap_ms=gaps.fillna(NO_GAP_MS).astype(np.int64))


def read_items(items_path: Path) -> pd.DataFrame:
    """The catalogue: columns item_id, category ("" where unknown), price (NaN where unknown); no item twice.

    Without a file there is nothing known about any item, which is no error. Raises ItemFileError when there is one and
    it is no catalogue.
    """
    items = {item.item_id: item for item in read_catalogue(items_path)} if items_path.exists() else {}
    columns = {
        "item_id": pd.Series(list(items), dtype=object),
        "category": pd.Series([item.category for item in items.values()], dtype=object),
        "price": pd.Series([item.price for item in items.values()], dtype=float),
    }
    return pd.DataFrame(columns)


def split_by_time(events: pd.DataFrame, validation_share: float, test_share: float) -> Split:
    """Cut sessions, ordered by their start, into train, validation and test.

    `test_share` is of all sessions, `validation_share` of those that remain. Raises DataError when training or
    validation would be left without a pair of events to learn from.
    """
    starts = events.groupby("session_id")["timestamp_ms"].min().sort_values(kind="stable")
    test_from = round(len(starts) * (1 - test_share))
    validation_from = round(test_from * (1 - validation_share))
    parts = np.split(starts.index.to_numpy(), [validation_from, test_from])
    split = Split(*(events[events["session_id"].isin(part)].reset_index(drop=True) for part in parts))
    for name, part in (("training", split.train), ("validation", split.validation)):
        if len(part) == part["session_id"].nunique():
            raise DataError(f"no {name} session has two events: archive more sessions before training")
    return split


def sessions_after(events: pd.DataFrame, cutoff_ms: int) -> pd.DataFrame:
    """Events of the sessions that start after `cutoff_ms`."""
    starts = events.groupby("session_id")["timestamp_ms"].transform("min")
    return events[starts > cutoff_ms].reset_index(drop=True)


def item_id_lists(events: pd.DataFrame) -> list[list[str]]:
    """Item ids of each session in event order; sessions in order of their id."""
    return [list(group) for _, group in events.groupby("session_id", sort=True)["item_id"]]
