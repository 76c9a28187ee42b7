"""What README.md and docs/DEPLOY.md say of speed and accuracy stands in the row of that name in docs/BENCHMARKS.md."""

import re
from collections.abc import Iterator

import pytest

from tests.support.project import PROJECT

UNMEASURED = "not measured"


def rows(text: str) -> Iterator[tuple[str, str]]:
    """Name and the rest of every row of every table."""
    for name, rest in re.findall(r"^\| *([^|]+?) *\|(.+)\|$", text, flags=re.MULTILINE):
        if not set(name) <= set("-: "):
            yield name, rest


def numbers(text: str) -> list[str]:
    """Without commas between thousands; p99 and the like are names."""
    return re.findall(r"(?<![\w.])\.?\d+(?:\.\d+)?", re.sub(r"(?<=\d),(?=\d{3}\b)", "", text))


MEASURED = {name: numbers(rest) for name, rest in rows((PROJECT / "docs" / "BENCHMARKS.md").read_text())}


def quoted_rows() -> Iterator[tuple[str, str, str]]:
    readme = (PROJECT / "README.md").read_text().partition("\n## Try it\n")[2].partition("\n## ")[0]
    sizing = (PROJECT / "docs" / "DEPLOY.md").read_text().partition("\n## Sizing\n")[2].partition("\n## ")[0]
    for page, text in (("README", readme), ("DEPLOY", sizing)):
        for name, rest in rows(text):
            yield page, name, rest.split("|")[0] if page == "DEPLOY" else rest


QUOTED = [row for row in quoted_rows() if UNMEASURED not in row[2] and numbers(row[2])]


def test_there_are_figures_to_compare() -> None:
    assert {page for page, _, _ in QUOTED} == {"README", "DEPLOY"}
    assert len(QUOTED) >= 12


@pytest.mark.parametrize(("page", "name", "rest"), QUOTED, ids=[f"{page}: {name}" for page, name, _ in QUOTED])
def test_every_quoted_figure_stands_in_the_row_of_its_name(page: str, name: str, rest: str) -> None:
    assert name in MEASURED, f"docs/BENCHMARKS.md has no row {name!r}"
    measured = iter(MEASURED[name])  # in the same order, so that two of them cannot be swapped
    assert [figure for figure in numbers(rest) if figure not in measured] == []
