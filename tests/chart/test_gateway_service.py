"""What callers see of the gateway."""

from tests.chart.rendering import container, of


def test_the_service_shows_grpc_and_nothing_else() -> None:
    service = of("gpu-production", "Service", "gateway")
    assert service["spec"]["type"] == "LoadBalancer"
    assert [port["name"] for port in service["spec"]["ports"]] == ["grpc"]
    assert service["metadata"]["annotations"] == {"example.com/load-balancer": "internal"}


def test_the_service_listens_on_a_port_of_its_own() -> None:
    setting = "gateway.service.port=443"
    [port] = of("minimal", "Service", "gateway", setting)["spec"]["ports"]
    assert (port["port"], port["targetPort"]) == (443, "grpc")
    assert {"name": "grpc", "containerPort": 50051} in container("minimal", "gateway", setting)["ports"]
