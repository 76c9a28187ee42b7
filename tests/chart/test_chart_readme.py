"""The chart's README is what its generator makes of values.yaml; a package holds what an install needs."""

import importlib.util
import subprocess
import sys
import tarfile
from pathlib import Path
from types import ModuleType

import pytest

from tests.chart.rendering import CHART, helm


@pytest.fixture(scope="module")
def readme() -> ModuleType:
    """The generator, which is no part of a package."""
    spec = importlib.util.spec_from_file_location("chart_readme", CHART / "readme.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def test_the_readme_is_fresh() -> None:
    done = subprocess.run([sys.executable, str(CHART / "readme.py"), "--check"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_a_comment_of_several_lines_is_one_description(readme: ModuleType) -> None:
    [value] = readme.read_values("# -- First\n# second.\nname: x\n")
    assert (value.path, value.default, value.description) == ("name", "x", "First second.")


def test_other_comments_explain_nothing(readme: ModuleType) -> None:
    with pytest.raises(ValueError, match=r"no comment explains a\.b"):
        readme.read_values("a:\n  # About b.\n  b: 1\n")


def test_what_means_the_same_everywhere_is_explained_once(readme: ModuleType) -> None:
    text = "one:\n  # -- Where it runs.\n  nodeSelector: {}\ntwo:\n  nodeSelector: {}\n"
    assert [value.description for value in readme.read_values(text)] == ["Where it runs."] * 2


def test_bars_do_not_break_the_table(readme: ModuleType) -> None:
    *_, row = readme.tables(readme.read_values("# -- A | b.\nname: c|d\n")).splitlines()
    assert row.replace("\\|", "").count("|") == 4


def test_a_package_holds_no_scenarios_and_no_generator(tmp_path: Path) -> None:
    done = helm("package", str(CHART), "--destination", str(tmp_path))
    assert done.returncode == 0, done.stderr
    [package] = tmp_path.glob("*.tgz")
    with tarfile.open(package) as archive:
        names = archive.getnames()
    assert "nextclick/values.schema.json" in names
    assert not [name for name in names if "/ci/" in name or name.endswith(".py")]
