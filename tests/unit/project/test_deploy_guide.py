"""What docs/DEPLOY.md says about speed is what docs/BENCHMARKS.md says."""

import re

from tests.support.project import PROJECT

DOCS = PROJECT / "docs"


def numbers(text: str) -> set[str]:
    """Without commas between thousands; p99 and the like are names."""
    return set(re.findall(r"(?<![\w.])\d+(?:\.\d+)?", re.sub(r"(?<=\d),(?=\d{3}\b)", "", text)))


def test_every_figure_of_sizing_was_measured() -> None:
    sizing = (DOCS / "DEPLOY.md").read_text().partition("\n## Sizing\n")[2].partition("\n## ")[0]
    figures = numbers(sizing)
    assert len(figures) > 5
    assert figures - numbers((DOCS / "BENCHMARKS.md").read_text()) == set()
