"""The one error of this package: always a single line that a person can act on."""

from pathlib import Path

from runtime.errors import NextclickError

_LONGEST_FOUND = 80


class DatasetError(NextclickError):
    """A data set is missing or malformed; the message names file, line, what was expected and what was found."""


def malformed(file: Path, line: int, expected: str, found: object) -> DatasetError:
    """Error of one line (of a Parquet file: one row); both count from 1."""
    return DatasetError(f"{file}:{line}: expected {expected}, found {shorten(found)}")


def missing(path: Path, expected: str, found: str = "nothing there") -> DatasetError:
    """Error of a path that does not hold the data set."""
    return DatasetError(f"{path}: expected {expected}, found {found}; name the data set's folder or file with --path")


def twice(session_id: str, first: Path, second: Path) -> DatasetError:
    """Error of a session that two files have."""
    return DatasetError(
        f"{second}: expected sessions that no other file has, found {shorten(session_id)} in {first.name} too; "
        "leave one of the two files out, or name the other with --path"
    )


def shorten(found: object) -> str:
    """`found` in one line of bounded length, control characters escaped."""
    text = "an empty line" if found == "" else repr(found)
    return text if len(text) <= _LONGEST_FOUND else text[: _LONGEST_FOUND - 1] + "…"
