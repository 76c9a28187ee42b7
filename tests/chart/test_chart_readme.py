"""The chart's README is what its generator makes of values.yaml, and its notes say what was installed."""

import importlib.util
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path
from types import ModuleType

import pytest

from tests.chart.rendering import CHART, KUBERNETES, SCENARIOS, helm

NOTES = """notes: |
{{ tpl (.Files.Get "NOTES.txt") . | indent 2 }}
"""


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


def notes(folder: Path, scenario: str, *settings: str) -> str:
    """What Helm prints after an install; without a cluster it prints nothing, so a template shows it."""
    chart = folder / "chart"
    shutil.copytree(CHART, chart, dirs_exist_ok=True)
    shutil.move(chart / "templates" / "NOTES.txt", chart / "NOTES.txt")
    (chart / "templates" / "shown.yaml").write_text(NOTES)
    values = f"--values={CHART / 'ci' / f'{scenario}-values.yaml'}"
    more = [f"--set={setting}" for setting in settings]
    shown = ("--show-only=templates/shown.yaml", f"--kube-version={KUBERNETES}")
    done = helm("template", "shop", str(chart), values, *more, *shown)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_notes_name_the_parts_and_how_to_ask(scenario: str, tmp_path: Path) -> None:
    text = notes(tmp_path, scenario)
    assert "gateway, streaming" in text
    assert "nextclick recommend" in text
    assert ("--ca-file" in text) == (scenario == "tls")
    assert ("--gateway recommend.example.com:443 " in text) == (scenario == "tls")


def test_notes_warn_of_what_is_risky_and_of_nothing_else(tmp_path: Path) -> None:
    assert "Look at" not in notes(tmp_path / "tls", "tls")
    embedded = notes(tmp_path / "embedded", "embedded", "networkPolicy.enabled=false", "redis.embedded.storage=")
    for risk in ("kafka.embedded is a single pod", "redis.embedded.storage is empty", "networkPolicy.enabled is false"):
        assert risk in embedded
    several = notes(tmp_path / "several", "minimal", "streaming.replicas=3")
    assert "registry.existingSecret is empty" in several


def test_notes_say_when_a_drain_may_take_every_gateway(tmp_path: Path) -> None:
    alone = "gateway.replicas is below 2"
    assert alone in notes(tmp_path / "one", "minimal")
    assert alone not in notes(tmp_path / "two", "minimal", "gateway.replicas=2")
    scaled = ("gateway.autoscaling.enabled=true", "gateway.autoscaling.minReplicas=1")
    assert "gateway.autoscaling.minReplicas is below 2" in notes(tmp_path / "scaled", "minimal", *scaled)


def test_notes_say_that_callers_from_outside_are_kept_out(tmp_path: Path) -> None:
    shut = "nobody outside the cluster can call"
    outside = "gateway.service.type=LoadBalancer"
    assert shut in notes(tmp_path / "none", "minimal", outside)
    pods = "networkPolicy.gatewayClients[0].podSelector.matchLabels.app=shop"
    assert shut in notes(tmp_path / "pods", "minimal", outside, pods)
    assert shut not in notes(tmp_path / "inside", "minimal")
    assert shut not in notes(tmp_path / "open", "minimal", outside, "networkPolicy.enabled=false")
