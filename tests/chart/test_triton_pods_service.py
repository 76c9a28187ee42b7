"""The name that leads to each of Triton's pods, for gateways and for training."""

from tests.chart.rendering import objects, of_kind


def test_gateways_and_training_find_each_pod_behind_a_headless_service() -> None:
    services = [item for item in objects("minimal") if item["kind"] == "Service"]
    headless = {item["metadata"]["name"]: item["spec"].get("clusterIP") for item in services}
    assert headless["shop-triton-pods"] == "None"
    assert headless["shop-triton"] is None


def test_only_pods_that_are_ready_are_called() -> None:
    """Training's workers look for pods that are not ready yet; who calls Triton must not."""
    [service] = [item for item in of_kind("minimal", "Service") if item["metadata"]["name"] == "shop-triton-pods"]
    assert not service["spec"].get("publishNotReadyAddresses")
    assert [port["name"] for port in service["spec"]["ports"]] == ["grpc"]
