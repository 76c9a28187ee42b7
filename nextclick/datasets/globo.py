"""Reads G1 news clicks (globo.com) from Parquet sorted by `click_timestamp`, times in milliseconds.

Only the compact table is held in memory; its three million events are made while iterating.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from feature_repo.schema import Event, EventType, Item
from nextclick.datasets.dataset import Dataset, Events, event_id
from nextclick.datasets.errors import malformed
from nextclick.datasets.files import check_milliseconds, find_file
from nextclick.datasets.parquet import Column, read_table

if TYPE_CHECKING:
    import pyarrow as pa

NAME = "globo"
ID_COLUMNS = ("session_id", "click_article_id", "click_timestamp", "user_id")
ATTRIBUTES = {
    "click_environment": "environment",
    "click_deviceGroup": "device_group",
    "click_os": "os",
    "click_country": "country",
    "click_region": "region",
    "click_referrer_type": "referrer_type",
}
LICENCE = "globo.com news portal user interactions, education and research use only"
ROWS_PER_BATCH = 10_000


def read_globo(path: Path, limit: int | None) -> Dataset:
    file = find_file(path, "*.parquet")
    table = read_table(file, dict.fromkeys([*ID_COLUMNS, *ATTRIBUTES], Column.WHOLE_NUMBER), limit)
    _check_times(file, table["click_timestamp"])
    sessions = len(table["session_id"].unique())
    return Dataset(NAME, _items(table), GloboEvents(table), sessions, False, LICENCE)


@dataclass(frozen=True)
class GloboEvents(Events):
    """Events of a table of clicks; rows are turned into Python objects batch by batch."""

    table: "pa.Table"

    def __iter__(self) -> Iterator[Event]:
        position = 0
        for batch in self.table.to_batches(ROWS_PER_BATCH):
            columns = batch.to_pydict()
            features = zip(*(columns[name] for name in ATTRIBUTES), strict=True)
            for session, article, time, user, values in zip(
                *(columns[name] for name in ID_COLUMNS), features, strict=True
            ):
                attributes = dict(zip(ATTRIBUTES.values(), values, strict=True))
                yield Event(
                    event_id(NAME, position), EventType.VIEW, str(session), str(article), time, str(user), attributes
                )
                position += 1

    def __len__(self) -> int:
        return int(self.table.num_rows)

    @property
    def newest_at_ms(self) -> int:
        return int(self.table["click_timestamp"][-1].as_py())


def _items(table: "pa.Table") -> list[Item]:
    return [Item(str(article)) for article in table["click_article_id"].unique().to_pylist()]


def _check_times(file: Path, times: "pa.ChunkedArray") -> None:
    import pyarrow.compute as pc

    if not len(times):
        return
    values = times.combine_chunks()
    falls = pc.index(pc.less(values[1:], values[:-1]), True).as_py()
    if falls >= 0:
        raise malformed(file, falls + 2, "click_timestamp not below the row before", values[falls + 1].as_py())
    for row in (1, len(values)):
        check_milliseconds(file, row, values[row - 1].as_py(), "milliseconds since 1970", values[row - 1].as_py())
