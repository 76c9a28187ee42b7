"""Finds a data set's files from `--path` and reads them line by line, each failure a DatasetError."""

import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from feature_repo.errors import FieldError
from feature_repo.fields import MAX_SKEW_MS, check_id, now_ms, unit_of
from feature_repo.schema import MAX_ID_LENGTH
from nextclick.datasets.errors import malformed, missing


def find_files(path: Path, *layouts: Sequence[str]) -> list[Path]:
    """The file itself, or what the first fitting layout finds in the folder.

    A layout is a list of glob patterns; it fits when its first pattern does.
    """
    if path.is_file():
        return [path]
    wanted = " or ".join(layout[0] for layout in layouts)
    if not path.exists():
        raise missing(path, f"a file, or a folder with {wanted}")
    for layout in layouts:
        if any(path.glob(layout[0])):
            return [file for pattern in layout for file in sorted(path.glob(pattern)) if file.is_file()]
    raise missing(path, f"a folder with {wanted}", "no such file in it")


def find_file(path: Path, pattern: str) -> Path:
    """The file itself, or the only one in the folder that fits the glob pattern."""
    files = find_files(path, [pattern])
    if len(files) > 1:
        raise missing(path, f"one file {pattern}", f"{len(files)}: {', '.join(file.name for file in files[:3])}")
    return files[0]


def require_file(file: Path) -> Path:
    """A file that must lie beside another."""
    if not file.is_file():
        raise missing(file, "a file of this name beside the other")
    return file


def read_lines(file: Path) -> Iterator[tuple[int, str]]:
    """Line numbers from 1, and the lines without their ends."""
    number = 0
    try:
        with file.open("rb") as lines:
            for number, line in enumerate(lines, start=1):
                yield number, line.decode("utf-8").rstrip("\r\n")
    except UnicodeDecodeError as error:
        raise malformed(file, number, "UTF-8 text", error.object[error.start : error.start + 8]) from error


def read_rows(file: Path, columns: Sequence[str]) -> Iterator[tuple[int, list[str]]]:
    """Line numbers and fields of a tab-separated file whose header names the columns."""
    lines = read_lines(file)
    width = check_header(file, lines, columns)
    for number, line in lines:
        fields = line.split("\t")
        if len(fields) != width:
            raise malformed(file, number, f"{width} fields separated by tabs ({' '.join(columns)})", line)
        yield number, fields


def check_header(file: Path, lines: Iterator[tuple[int, str]], columns: Sequence[str]) -> int:
    """The number of columns; the header must be exactly `columns`."""
    header = next(lines, (1, ""))[1]
    if header.split("\t") != list(columns):
        raise malformed(file, 1, f"the header {' '.join(columns)} separated by tabs", header)
    return len(columns)


def read_json(file: Path) -> object:
    """The one JSON value that the file holds."""
    text = "\n".join(line for _, line in read_lines(file))
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise malformed(file, error.lineno, f"JSON ({error.msg})", text[error.pos : error.pos + 40]) from error
    except (ValueError, RecursionError) as error:
        raise malformed(file, 1, "JSON of sensible depth and numbers", str(error)) from error


def parse_id(file: Path, line: int, what: str, text: str) -> str:
    """A non-empty id of bounded length; equal ids share one string, which keeps large sets small."""
    try:
        return sys.intern(check_id(what, text if text.strip() else ""))
    except FieldError as error:
        expected = f"{what} of 1 to {MAX_ID_LENGTH} characters without control characters"
        raise malformed(file, line, expected, text or "nothing") from error


def is_number(text: str) -> bool:
    """Whether it is a whole number in plain digits."""
    return text.isascii() and text.isdigit()


def parse_numbers(file: Path, line: int, expected: str, text: str) -> list[str]:
    """Whole numbers separated by single spaces, kept as the strings they are as ids."""
    numbers = text.split(" ")
    if not all(is_number(number) and len(number) <= MAX_ID_LENGTH for number in numbers):
        raise malformed(file, line, expected, text)
    return [sys.intern(number) for number in numbers]


def parse_seconds(file: Path, line: int, text: str) -> int:
    """Seconds since the Unix epoch, fraction allowed, as milliseconds."""
    try:
        milliseconds = round(float(text) * 1000)
    except (ValueError, OverflowError):
        milliseconds = 0
    return check_milliseconds(file, line, milliseconds, "seconds since 1970", text)


_MISTAKEN = {
    "seconds": "1,000 times too small",
    "microseconds": "1,000 times too large",
    "nanoseconds": "1,000,000 times too large",
}
"""What a time is that another unit than milliseconds would make a sensible one."""


def check_milliseconds(file: Path, line: int, milliseconds: object, expected: str, found: object) -> int:
    """`milliseconds` where they are a time from 1970 to now, or as far ahead as clocks may differ."""
    if type(milliseconds) is not int:
        raise malformed(file, line, f"a time in {expected}", found)
    latest_ms = now_ms() + MAX_SKEW_MS
    unit = unit_of(milliseconds, latest_ms)
    if unit is None and 0 < milliseconds <= latest_ms:
        return milliseconds
    hint = "not after now" if unit is None else f"which this is if it is {_MISTAKEN[unit]}"
    raise malformed(file, line, f"a time in {expected}, {hint}", found)
