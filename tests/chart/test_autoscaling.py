"""What decides how many pods there are, and that it decides about the right ones."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from feature_repo.schema import EVENTS_TOPIC
from tests.chart.exported_metrics import gateway_names
from tests.chart.promql import metric_names
from tests.chart.rendering import environment, objects, of, refusal

PROJECT = Path(__file__).resolve().parents[2]
AUTOSCALED = (
    "gateway.autoscaling.enabled=true",
    "gateway.autoscaling.inFlightPerPod=20",
    "triton.autoscaling.enabled=true",
)
KEDA = "streaming.autoscaling.enabled=true"
SASL = (KEDA, "kafka.security.protocol=SASL_SSL", "kafka.security.existingSecret=kafka-login")
Object = dict[str, Any]


def of_kind(kind: str, *settings: str, scenario: str = "") -> list[Object]:
    return [item for item in objects(scenario, *settings) if item["kind"] == kind]


def variables(scenario: str, *settings: str) -> dict[str, str]:
    """What the consumer's settings are."""
    [container] = of(scenario, "Deployment", "streaming", *settings)["spec"]["template"]["spec"]["containers"]
    return {name: variable.get("value", "") for name, variable in environment(container).items()}


def test_nothing_scales_by_itself_unless_asked_to() -> None:
    assert not of_kind("HorizontalPodAutoscaler") + of_kind("ScaledObject") + of_kind("TriggerAuthentication")


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
    [container] = of("", "Deployment", "gateway", *AUTOSCALED)["spec"]["template"]["spec"]["containers"]
    assert container["resources"]["requests"]["cpu"]


def test_triton_scales_by_a_metric_that_the_guide_tells_how_to_serve() -> None:
    [metric] = of("", "HorizontalPodAutoscaler", "triton", *AUTOSCALED)["spec"]["metrics"]
    served = {rule["name"]["as"]: rule["metricsQuery"] for rule in adapter_rules()}
    query = served[metric["pods"]["metric"]["name"]]
    assert "nv_inference_queue_duration_us" in query
    assert served.keys() == {"nextclick_gateway_in_flight", metric["pods"]["metric"]["name"]}


def adapter_rules() -> list[Object]:
    """The prometheus-adapter rules of docs/DEPLOY.md."""
    blocks = (PROJECT / "docs" / "DEPLOY.md").read_text().split("```")
    [block] = [block for block in blocks if "metricsQuery" in block]
    return yaml.safe_load(block.removeprefix("yaml"))["rules"]["custom"]


def test_the_guide_serves_metrics_that_are_exported_by_pod() -> None:
    for rule in adapter_rules():
        assert rule["resources"]["overrides"].keys() == {"namespace", "pod"}
        query = rule["metricsQuery"].replace("<<.GroupBy>>", "pod").replace("<<.LabelMatchers>>", 'namespace="n"')
        names = metric_names(query)
        assert names
        assert names <= gateway_names() | {"nv_inference_queue_duration_us", "nv_inference_request_success"}


def test_the_consumer_scales_by_the_lag_of_its_own_group() -> None:
    [trigger] = of("", "ScaledObject", "streaming", KEDA)["spec"]["triggers"]
    env = variables("", KEDA)
    assert trigger["type"] == "kafka"
    assert trigger["metadata"]["topic"] == EVENTS_TOPIC
    assert trigger["metadata"]["consumerGroup"] == env["CONSUMER_GROUP"]
    assert trigger["metadata"]["bootstrapServers"] == env["KAFKA_BOOTSTRAP_SERVERS"]
    assert "authenticationRef" not in trigger
    assert not {"tls", "sasl"} & trigger["metadata"].keys()
    assert all(isinstance(value, str) for value in trigger["metadata"].values())


def test_the_consumer_does_not_outgrow_the_partitions() -> None:
    for scenario, settings in (("keda", ()), ("", (KEDA,))):
        spec = of(scenario, "ScaledObject", "streaming", *settings)["spec"]
        assert spec["minReplicaCount"] <= spec["maxReplicaCount"]
        assert spec["maxReplicaCount"] <= int(variables(scenario, *settings)["TOPIC_PARTITIONS"])


@pytest.mark.parametrize(
    ("mechanism", "sasl", "keys"),
    [
        ("PLAIN", "plaintext", {"username": "KAFKA_SASL_USERNAME", "password": "KAFKA_SASL_PASSWORD"}),
        ("SCRAM-SHA-256", "scram_sha256", {"username": "KAFKA_SASL_USERNAME", "password": "KAFKA_SASL_PASSWORD"}),
        ("SCRAM-SHA-512", "scram_sha512", {"username": "KAFKA_SASL_USERNAME", "password": "KAFKA_SASL_PASSWORD"}),
        (
            "OAUTHBEARER",
            "oauthbearer",
            {
                "username": "KAFKA_OAUTH_CLIENT_ID",
                "password": "KAFKA_OAUTH_CLIENT_SECRET",
                "oauthTokenEndpointUri": "KAFKA_OAUTH_TOKEN_URL",
            },
        ),
    ],
)
def test_keda_logs_in_with_the_secret_of_the_pods(mechanism: str, sasl: str, keys: dict[str, str]) -> None:
    settings = (*SASL, f"kafka.security.saslMechanism={mechanism}")
    [trigger] = of("", "ScaledObject", "streaming", *settings)["spec"]["triggers"]
    authentication = of("", "TriggerAuthentication", "streaming", *settings)
    assert trigger["metadata"]["sasl"] == sasl
    assert trigger["metadata"]["tls"] == "enable"
    assert trigger["authenticationRef"]["name"] == authentication["metadata"]["name"]
    entries = authentication["spec"]["secretTargetRef"]
    assert {entry["parameter"]: entry["key"] for entry in entries} == keys
    assert {entry["name"] for entry in entries} == {"kafka-login"}


def test_keda_trusts_whom_the_pods_trust_and_shows_their_certificate() -> None:
    settings = (KEDA, "kafka.security.protocol=SSL", "kafka.security.tlsSecret=kafka-tls")
    entries = of("", "TriggerAuthentication", "streaming", *settings)["spec"]["secretTargetRef"]
    assert [(entry["parameter"], entry["key"]) for entry in entries] == [("ca", "ca.crt")]
    both = (*settings, "kafka.security.clientCertificate=true")
    entries = of("", "TriggerAuthentication", "streaming", *both)["spec"]["secretTargetRef"]
    keys = {entry["parameter"]: entry["key"] for entry in entries}
    assert keys == {"ca": "ca.crt", "cert": "tls.crt", "key": "tls.key"}


def test_a_trigger_authentication_of_ones_own_takes_the_place_of_ours() -> None:
    settings = (*SASL, "kafka.security.saslMechanism=PLAIN", "streaming.autoscaling.triggerAuthentication=mine")
    [trigger] = of("", "ScaledObject", "streaming", *settings)["spec"]["triggers"]
    assert trigger["authenticationRef"] == {"name": "mine"}
    assert not of_kind("TriggerAuthentication", *settings)


def test_keda_is_refused_for_the_embedded_kafka_that_it_cannot_reach() -> None:
    assert "KEDA cannot reach" in refusal(KEDA, "kafka.embedded.enabled=true")


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
    behaviours += [item["spec"]["behavior"] for item in of_kind("HorizontalPodAutoscaler", *AUTOSCALED)]
    assert len(behaviours) == 3
    for behaviour in behaviours:
        up, down = behaviour["scaleUp"], behaviour["scaleDown"]
        assert up["stabilizationWindowSeconds"] < down["stabilizationWindowSeconds"]
