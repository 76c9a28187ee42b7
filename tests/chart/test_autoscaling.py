"""What holds of every autoscaler: that it decides about the right pods, alone, and by metrics that are served."""

from tests.chart.adapter_rules import adapter_rules
from tests.chart.exported_metrics import gateway_names
from tests.chart.promql import metric_names
from tests.chart.rendering import objects, of, of_kind

AUTOSCALED = (
    "gateway.autoscaling.enabled=true",
    "gateway.autoscaling.inFlightPerPod=20",
    "triton.autoscaling.enabled=true",
)
KEDA = "streaming.autoscaling.enabled=true"


def test_nothing_scales_by_itself_unless_asked_to() -> None:
    for kind in ("HorizontalPodAutoscaler", "ScaledObject", "TriggerAuthentication"):
        assert not of_kind("", kind)


def test_the_guide_serves_metrics_that_are_exported_by_pod() -> None:
    for rule in adapter_rules():
        assert rule["resources"]["overrides"].keys() == {"namespace", "pod"}
        query = rule["metricsQuery"].replace("<<.GroupBy>>", "pod").replace("<<.LabelMatchers>>", 'namespace="n"')
        names = metric_names(query)
        assert names
        assert names <= gateway_names() | {"nv_inference_queue_duration_us", "nv_inference_request_success"}


def test_every_autoscaler_has_a_deployment_whose_number_of_pods_it_alone_sets() -> None:
    rendered = objects("", *AUTOSCALED, KEDA)
    deployments = {item["metadata"]["name"]: item for item in rendered if item["kind"] == "Deployment"}
    scaled = [item for item in rendered if item["kind"] in ("HorizontalPodAutoscaler", "ScaledObject")]
    assert len(scaled) == 3
    for item in scaled:
        assert "replicas" not in deployments[item["spec"]["scaleTargetRef"]["name"]]["spec"]


def test_pods_come_faster_than_they_go() -> None:
    spec = of("", "ScaledObject", "streaming", KEDA)["spec"]["advanced"]["horizontalPodAutoscalerConfig"]
    behaviours = [spec["behavior"]]
    behaviours += [item["spec"]["behavior"] for item in of_kind("", "HorizontalPodAutoscaler", *AUTOSCALED)]
    assert len(behaviours) == 3
    for behaviour in behaviours:
        up, down = behaviour["scaleUp"], behaviour["scaleDown"]
        assert up["stabilizationWindowSeconds"] < down["stabilizationWindowSeconds"]
