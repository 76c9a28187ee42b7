"""What Helm prints after an install: the parts, how to ask, and what is risky."""

import shutil
from pathlib import Path

import pytest

from tests.chart.rendering import CHART, KUBERNETES, SCENARIOS, helm

SHOWN = """notes: |
{{ tpl (.Files.Get "NOTES.txt") . | indent 2 }}
"""


def notes(folder: Path, scenario: str, *settings: str) -> str:
    """What Helm prints after an install; without a cluster it prints nothing, so a template shows it."""
    chart = folder / "chart"
    shutil.copytree(CHART, chart, dirs_exist_ok=True)
    shutil.move(chart / "templates" / "NOTES.txt", chart / "NOTES.txt")
    (chart / "templates" / "shown.yaml").write_text(SHOWN)
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
