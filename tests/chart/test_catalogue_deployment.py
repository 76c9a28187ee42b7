"""The catalogue's pods: which store they fill; what consumers share: test_consumer_deployments.py."""

import pytest

from tests.chart.rendering import SCENARIOS, container, environment, objects, of


@pytest.mark.parametrize("scenario", [scenario for scenario in SCENARIOS if scenario != "minimal"])
def test_profiles_go_to_the_store_that_the_gateway_asks(scenario: str) -> None:
    catalogue, gateway = (environment(container(scenario, each)) for each in ("catalogue", "gateway"))
    stores = [{name: each[name] for name in each if name.startswith("REDIS_")} for each in (catalogue, gateway)]
    assert "REDIS_URL" in stores[0]
    assert stores[0] == stores[1]


def test_there_are_as_many_pods_as_the_values_say_however_streaming_is_scaled() -> None:
    settings = ("catalogue.replicas=3", "streaming.replicas=5", "streaming.autoscaling.enabled=true")
    assert of("", "Deployment", "catalogue", *settings)["spec"]["replicas"] == 3


def test_it_works_without_streaming() -> None:
    kinds = {item["kind"] for item in objects("tls", "streaming.enabled=false") if "catalogue" in str(item["metadata"])}
    assert {"Deployment", "ServiceAccount", "PodDisruptionBudget", "NetworkPolicy"} <= kinds
