"""Small files of data sets, and the error that a malformed one gives."""

from pathlib import Path

import pytest

from nextclick.datasets import DatasetError, load


def write_lines(folder: Path, name: str, *lines: str) -> Path:
    """A text file of these lines."""
    file = folder / name
    file.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return file


def error_of(name: str, path: Path) -> str:
    """The one line that loading the data set ends in."""
    with pytest.raises(DatasetError) as caught:
        load(name, path)
    message = str(caught.value)
    assert "\n" not in message
    return message
