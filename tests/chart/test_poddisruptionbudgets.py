"""How many pods a drain of nodes may take at a time."""

from typing import Any

import pytest

from tests.chart.rendering import COMPONENT, SCENARIOS, objects

Object = dict[str, Any]


def by_component(scenario: str, *kinds: str, settings: tuple[str, ...] = ()) -> dict[str, Object]:
    rendered = objects(scenario, *settings)
    return {item["metadata"]["labels"][COMPONENT]: item for item in rendered if item["kind"] in kinds}


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_every_deployment_has_a_budget_that_selects_its_pods_and_no_others(scenario: str) -> None:
    deployments = by_component(scenario, "Deployment")
    ours = {name: item for name, item in deployments.items() if name not in ("kafka", "redis")}
    budgets = by_component(scenario, "PodDisruptionBudget")
    assert budgets.keys() == ours.keys()
    for component, budget in budgets.items():
        assert budget["spec"]["selector"] == ours[component]["spec"]["selector"]


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_no_budget_holds_a_drain_up_for_good(scenario: str) -> None:
    budgets = by_component(scenario, "PodDisruptionBudget").values()
    assert budgets
    for budget in budgets:
        assert budget["spec"]["maxUnavailable"] >= 1
        assert budget["spec"]["unhealthyPodEvictionPolicy"] == "AlwaysAllow"


@pytest.mark.parametrize("scenario", ["gpu-production", "keda"])
def test_a_budget_leaves_pods_of_the_fewest_that_autoscaling_keeps(scenario: str) -> None:
    budgets = by_component(scenario, "PodDisruptionBudget")
    scaled = by_component(scenario, "HorizontalPodAutoscaler", "ScaledObject")
    assert scaled.keys() <= budgets.keys()
    assert scaled
    for component, item in scaled.items():
        fewest = item["spec"].get("minReplicas", item["spec"].get("minReplicaCount"))
        assert budgets[component]["spec"]["maxUnavailable"] < fewest, component


def test_a_budget_can_be_left_out() -> None:
    settings = ("gateway.podDisruptionBudget.enabled=false", "archive.enabled=false")
    assert not {"gateway", "archive"} & by_component("", "PodDisruptionBudget", settings=settings).keys()
