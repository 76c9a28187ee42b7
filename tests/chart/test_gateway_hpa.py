"""By what the gateway's autoscaler counts its pods; what holds of every autoscaler: test_autoscaling.py."""

from tests.chart.exported_metrics import gateway_names
from tests.chart.rendering import container, of

AUTOSCALED = ("gateway.autoscaling.enabled=true", "gateway.autoscaling.inFlightPerPod=20")


def test_the_gateway_scales_by_cpu_and_by_calls_in_flight() -> None:
    cpu, in_flight = of("", "HorizontalPodAutoscaler", "gateway", *AUTOSCALED)["spec"]["metrics"]
    assert cpu["resource"]["name"] == "cpu"
    assert in_flight["pods"]["metric"]["name"] in gateway_names()
    assert in_flight["pods"]["target"] == {"type": "AverageValue", "averageValue": "20"}


def test_the_gateway_scales_by_cpu_alone_without_a_target_for_calls() -> None:
    metrics = of("", "HorizontalPodAutoscaler", "gateway", "gateway.autoscaling.enabled=true")["spec"]["metrics"]
    assert [metric["type"] for metric in metrics] == ["Resource"]


def test_cpu_is_requested_where_it_is_scaled_by() -> None:
    """Utilisation is a share of the request: without one the autoscaler knows nothing."""
    assert container("", "gateway", *AUTOSCALED)["resources"]["requests"]["cpu"]
