"""The name by which the release's own pods find the embedded Redis."""

import pytest

from tests.chart.rendering import container, environment, of


@pytest.mark.parametrize("component", ["gateway", "streaming", "catalogue"])
def test_all_who_keep_or_ask_for_features_call_the_service(component: str) -> None:
    service = of("embedded", "Service", "redis")
    [port] = service["spec"]["ports"]
    url = environment(container("embedded", component))["REDIS_URL"]["value"]
    assert url == f"redis://{service['metadata']['name']}:{port['port']}/0"


def test_nobody_outside_the_cluster_reaches_it() -> None:
    """It asks for no password."""
    assert of("embedded", "Service", "redis")["spec"].get("type", "ClusterIP") == "ClusterIP"
