"""What Helm says of the chart where there is no cluster."""

from pathlib import Path

import pytest
import yaml

from tests.cluster.conftest import Helm
from tests.cluster.release import CHART, SCENARIOS, values_file
from tests.cluster.table import PATH, counts_in, kinds

_LOOKED_AT = {"CronJob", "HorizontalPodAutoscaler", "Job", "PodDisruptionBudget", "PodMonitor", "ScaledObject"}


def test_helm_finds_no_fault_with_the_chart_itself(helm: Helm) -> None:
    done = helm("lint", "--strict", str(CHART))
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_helm_finds_no_fault_with_a_scenario(helm: Helm, scenario: str) -> None:
    done = helm("lint", "--strict", str(CHART), "--values", str(values_file(scenario)))
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_a_scenario_renders_each_object_once(helm: Helm, scenario: str) -> None:
    done = helm("template", "shop", str(CHART), "--values", str(values_file(scenario)))
    assert done.returncode == 0, done.stderr
    named = [f"{item['kind']}/{item['metadata']['name']}" for item in yaml.safe_load_all(done.stdout) if item]
    assert named
    assert len(named) == len(set(named))


def test_every_scenario_file_is_tested() -> None:
    assert {path.name for path in (CHART / "ci").glob("*-values.yaml")} == {
        values_file(name).name for name in SCENARIOS
    }


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_the_table_in_the_readme_counts_what_is_rendered(helm: Helm, scenario: str) -> None:
    rendered = helm("template", "shop", str(CHART), "--values", str(values_file(scenario))).stdout
    assert counts_in(PATH.read_text())[scenario] == kinds(rendered), "run `python -m tests.cluster.table`"


def test_the_scenarios_together_have_what_the_cluster_tests_look_at() -> None:
    counted = counts_in(PATH.read_text()).values()
    assert {kind for each in counted for kind in each} >= _LOOKED_AT


def test_the_package_renders_as_the_folder_does(helm: Helm, tmp_path: Path) -> None:
    packed = helm("package", str(CHART), "--destination", str(tmp_path))
    assert packed.returncode == 0, packed.stderr
    (archive,) = tmp_path.glob("nextclick-*.tgz")
    for scenario in SCENARIOS:
        values = ("--values", str(values_file(scenario)))
        assert (
            helm("template", "shop", str(archive), *values).stdout
            == helm("template", "shop", str(CHART), *values).stdout
        )


@pytest.mark.parametrize(
    ("named", "settings"),
    [
        ("/gateway/replicas", ["gateway.replicas=-1"]),
        ("gatway", ["gatway.replicas=2"]),
        ("replcas", ["gateway.replcas=2"]),
        ("protocol", ["kafka.security.protocol=TLS"]),
        ("saslMechanism", ["kafka.security.protocol=SASL_SSL"]),
        ("/storage/models", ["storage.models.kind=url"]),
        ("issuerName", ["gateway.tls.enabled=true", "gateway.tls.certManager.enabled=true"]),
        ("gpu", ["triton.gpu.count=0"]),
        ("/triton/gpu/count", ["triton.gpu.count=-1"]),
        ("limits", ["triton.resources.limits=null"]),
        ("nvidia.com/gpu", [r"triton.resources.limits.nvidia\.com/gpu=1"]),
        ("minReplicas", ["gateway.autoscaling.enabled=true", "gateway.autoscaling.minReplicas=30"]),
        ("externalUrl", ["triton.enabled=false"]),
    ],
)
def test_bad_values_are_refused_by_name(helm: Helm, named: str, settings: list[str]) -> None:
    done = helm("template", "shop", str(CHART), *(word for setting in settings for word in ("--set", setting)))
    assert done.returncode != 0
    assert named in done.stderr, done.stderr
