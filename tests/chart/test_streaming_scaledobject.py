"""How KEDA counts the consumer's pods; what holds of every autoscaler: test_autoscaling.py."""

from feature_repo.schema import EVENTS_TOPIC
from tests.chart.rendering import container, environment, of, refusal

KEDA = "streaming.autoscaling.enabled=true"


def variables(scenario: str, *settings: str) -> dict[str, str]:
    """What the consumer's settings are."""
    consumer = container(scenario, "streaming", *settings)
    return {name: variable.get("value", "") for name, variable in environment(consumer).items()}


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


def test_keda_is_refused_for_the_embedded_kafka_that_it_cannot_reach() -> None:
    assert "KEDA cannot reach" in refusal(KEDA, "kafka.embedded.enabled=true")
