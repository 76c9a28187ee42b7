"""How the archive's files are named, and what a name tells: `archive_folder` says why."""

import re
from dataclasses import dataclass
from datetime import date

from feature_repo.archive.columns import EVENT_DATE

_FILE_NAME = re.compile(r"([0-9A-Za-z_]+)-(\d{5,})-(\d{20})-(\d{20})\.parquet")


@dataclass(frozen=True, slots=True, order=True)
class OffsetRange:
    """Offsets of one partition, `end` not included."""

    topic_id: str
    partition: int
    first: int
    end: int

    @property
    def source(self) -> tuple[str, int]:
        """Topic id and partition."""
        return self.topic_id, self.partition

    @property
    def file_name(self) -> str:
        """Sorts by offset."""
        return f"{self.topic_id}-{self.partition:05d}-{self.first:020d}-{self.end:020d}.parquet"


@dataclass(frozen=True, slots=True)
class ArchiveFile:
    """One file of the archive as it was listed."""

    path: str
    """Below the archive: `event_date=…/….parquet`."""
    size: int
    """Bytes."""
    modified: float
    """Seconds since the epoch."""
    offsets: OffsetRange

    @property
    def event_date(self) -> date:
        """The date (UTC) of all its events."""
        return date.fromisoformat(self.path.partition("/")[0].removeprefix(f"{EVENT_DATE}="))


@dataclass(frozen=True, slots=True)
class Listing:
    """What the archive holds, by date and name."""

    files: list[ArchiveFile]
    foreign: list[str]
    """Paths of Parquet files whose names are not ours: they are read, and otherwise left alone."""

    @property
    def paths(self) -> list[str]:
        """Of all files."""
        return [*(file.path for file in self.files), *self.foreign]


def folder_of(day: date) -> str:
    """Name of the folder that holds the events of a date."""
    return f"{EVENT_DATE}={day.isoformat()}"


def offsets_of(file_name: str) -> OffsetRange | None:
    """What a file's name says of the offsets in it; None for a name that is not ours."""
    match = _FILE_NAME.fullmatch(file_name)
    return OffsetRange(match[1], int(match[2]), int(match[3]), int(match[4])) if match else None
