"""The gateway's pods: how they end, what probes ask, and who else talks to them."""

import pytest

from serving.rpc.service import SERVICE_NAME
from tests.chart.rendering import container, environment, of, of_component, pod


def test_a_pod_that_ends_has_time_for_the_notice_and_the_grace_and_for_closing() -> None:
    settings = ("gateway.shutdownNoticeSeconds=15", "gateway.shutdownGraceSeconds=40")
    spec = pod("minimal", "gateway", *settings)
    variables = environment(spec["containers"][0])
    assert variables["SHUTDOWN_NOTICE_SECONDS"]["value"] == "15"
    assert variables["SHUTDOWN_GRACE_SECONDS"]["value"] == "40"
    assert spec["terminationGracePeriodSeconds"] == 15 + 40 + 10


def test_readiness_asks_for_the_service_and_liveness_for_the_process() -> None:
    gateway = container("minimal", "gateway")
    assert gateway["readinessProbe"]["grpc"]["service"] == SERVICE_NAME
    assert "service" not in gateway["livenessProbe"]["grpc"]


def test_with_tls_probes_ask_over_http() -> None:
    gateway = container("tls", "gateway")
    probes = [gateway[name] for name in ("startupProbe", "readinessProbe", "livenessProbe")]
    assert [probe["httpGet"] for probe in probes] == [
        {"path": "/healthz", "port": "metrics"},
        {"path": "/readyz", "port": "metrics"},
        {"path": "/healthz", "port": "metrics"},
    ]
    assert not any("grpc" in probe for probe in probes)


def test_an_update_takes_no_pod_away_before_another_is_ready() -> None:
    strategy = of("minimal", "Deployment", "gateway")["spec"]["strategy"]["rollingUpdate"]
    assert strategy == {"maxSurge": 1, "maxUnavailable": 0}


def test_replicas_are_left_to_the_autoscaler() -> None:
    assert "replicas" not in of("gpu-production", "Deployment", "gateway")["spec"]
    assert of("minimal", "Deployment", "gateway")["spec"]["replicas"] == 1


@pytest.mark.parametrize(
    ("scenario", "url"),
    [("minimal", "dns:///shop-triton-pods:8001"), ("keda", "dns:///triton.inference:8001")],
)
def test_it_calls_every_pod_of_triton(scenario: str, url: str) -> None:
    assert environment(container(scenario, "gateway"))["TRITON_GRPC_URL"]["value"] == url


def test_switched_off_nothing_of_it_is_left() -> None:
    assert not of_component("minimal", "gateway", "gateway.enabled=false")
