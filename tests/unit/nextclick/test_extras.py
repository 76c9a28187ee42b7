import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from nextclick.extras import EXTRAS, extra_of
from tests.support.project import PROJECT

HELD_BY_SERVICES = {"dask", "pandas", "psutil", "requests"}
"""Packages of an extra that Feast brings anyway."""
WITHOUT = """
import sys
for name in sys.argv.pop(1).split(","):
    sys.modules[name] = None  # an import of it fails as where it is not installed
from nextclick.cli import app
app()
"""


def extras_of_the_project() -> dict[str, list[str]]:
    return tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]["optional-dependencies"]


def names(requirements: list[str]) -> set[str]:
    return {requirement.partition("[")[0].partition("=")[0].partition(">")[0] for requirement in requirements}


@pytest.mark.parametrize("extra", EXTRAS)
def test_every_package_of_an_extra_is_known_by_it(extra: str) -> None:
    assert names(extras_of_the_project()[extra]) - HELD_BY_SERVICES == set(EXTRAS[extra])


def test_the_extra_all_holds_every_other() -> None:
    extras = extras_of_the_project()
    (all_of_them,) = extras.pop("all")
    assert set(all_of_them.removeprefix("nextclick[").removesuffix("]").split(",")) == set(extras)


def test_a_package_that_no_extra_brings_is_no_missing_extra() -> None:
    assert extra_of(ModuleNotFoundError("no", name="torch.nn")) == "training"
    assert extra_of(ModuleNotFoundError("no", name="torchvision")) is None
    assert extra_of(ModuleNotFoundError("no")) is None


@pytest.mark.parametrize(
    ("arguments", "extra"),
    [(["train"], "training"), (["evaluate"], "training"), (["up"], "local")],
)
def test_a_verb_without_its_extra_says_in_one_line_which_it_is(
    arguments: list[str], extra: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NEXTCLICK_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("NEXTCLICK_TOOLS", str(tmp_path / "tools"))
    packages = ",".join(package for packages in EXTRAS.values() for package in packages)
    command = [sys.executable, "-c", WITHOUT, packages, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False, cwd=tmp_path)
    assert done.returncode == 1
    assert f"pip install 'nextclick[{extra}]'" in done.stderr
    assert "Traceback" not in done.stderr
