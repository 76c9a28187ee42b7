"""The one address of all of Triton's pods, for people and for programs that do not balance themselves."""

from tests.chart.rendering import Object, of_kind


def service(*settings: str) -> Object:
    [found] = [item for item in of_kind("minimal", "Service", *settings) if item["metadata"]["name"] == "shop-triton"]
    return found["spec"]


def test_each_of_its_protocols_has_the_port_that_the_values_name() -> None:
    ports = service("triton.httpPort=9000", "triton.grpcPort=9001", "triton.metricsPort=9002")["ports"]
    assert {port["name"]: port["port"] for port in ports} == {"http": 9000, "grpc": 9001, "metrics": 9002}


def test_nobody_outside_the_cluster_reaches_it() -> None:
    """It loads and unloads models for whoever asks."""
    assert service().get("type", "ClusterIP") == "ClusterIP"
