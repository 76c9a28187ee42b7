"""By what Triton's autoscaler counts its pods; what holds of every autoscaler: test_autoscaling.py."""

from tests.chart.adapter_rules import adapter_rules
from tests.chart.rendering import of

AUTOSCALED = "triton.autoscaling.enabled=true"


def test_triton_scales_by_a_metric_that_the_guide_tells_how_to_serve() -> None:
    [metric] = of("", "HorizontalPodAutoscaler", "triton", AUTOSCALED)["spec"]["metrics"]
    served = {rule["name"]["as"]: rule["metricsQuery"] for rule in adapter_rules()}
    query = served[metric["pods"]["metric"]["name"]]
    assert "nv_inference_queue_duration_us" in query
    assert served.keys() == {"nextclick_gateway_in_flight", metric["pods"]["metric"]["name"]}


def test_gpus_are_asked_for_one_at_a_time_with_time_to_start_between() -> None:
    """A pod needs minutes to start, in which the queue of the others still asks for more."""
    behaviour = of("", "HorizontalPodAutoscaler", "triton", AUTOSCALED)["spec"]["behavior"]
    for direction in ("scaleUp", "scaleDown"):
        [policy] = behaviour[direction]["policies"]
        assert (policy["type"], policy["value"]) == ("Pods", 1)
        assert policy["periodSeconds"] >= 120


def test_it_stays_between_the_numbers_of_the_values() -> None:
    settings = (AUTOSCALED, "triton.autoscaling.minReplicas=2", "triton.autoscaling.maxReplicas=3")
    spec = of("", "HorizontalPodAutoscaler", "triton", *settings)["spec"]
    assert (spec["minReplicas"], spec["maxReplicas"]) == (2, 3)
