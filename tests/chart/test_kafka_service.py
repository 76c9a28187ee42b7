"""The name by which the release's own pods find the embedded Kafka."""

import pytest

from tests.chart.rendering import container, environment, of


@pytest.mark.parametrize("consumer", ["streaming", "catalogue", "archive"])
def test_consumers_begin_at_the_service_and_the_broker_sends_them_back_to_it(consumer: str) -> None:
    service = of("embedded", "Service", "kafka")
    [port] = service["spec"]["ports"]
    address = f"{service['metadata']['name']}:{port['port']}"
    advertised = environment(container("embedded", "kafka"))["KAFKA_ADVERTISED_LISTENERS"]["value"]
    assert environment(container("embedded", consumer))["KAFKA_BOOTSTRAP_SERVERS"]["value"] == address
    assert f"PLAINTEXT://{address}" in advertised.split(",")


def test_nobody_outside_the_cluster_reaches_it() -> None:
    """It asks for no password."""
    assert of("embedded", "Service", "kafka")["spec"].get("type", "ClusterIP") == "ClusterIP"
