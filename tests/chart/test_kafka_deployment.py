"""The embedded Kafka's pod; that the real broker starts with it: test_third_party_servers.py."""

import pytest

from tests.chart.rendering import container, environment, of, of_component, pod


def test_two_brokers_never_write_to_one_volume() -> None:
    spec = of("embedded", "Deployment", "kafka")["spec"]
    assert spec["replicas"] == 1
    assert spec["strategy"] == {"type": "Recreate"}


@pytest.mark.parametrize(
    ("storage", "volume"),
    [("5Gi", {"persistentVolumeClaim": {"claimName": "shop-kafka"}}), ("", {"emptyDir": {"sizeLimit": "2Gi"}})],
)
def test_topics_lie_on_a_claim_where_there_is_one(storage: str, volume: dict[str, object]) -> None:
    settings = (f"kafka.embedded.storage={storage}",)
    volumes = {each["name"]: each for each in pod("embedded", "kafka", *settings)["volumes"]}
    kafka = container("embedded", "kafka", *settings)
    [data] = [mount for mount in kafka["volumeMounts"] if mount["name"] == "data"]
    assert volumes["data"] == {"name": "data", **volume}
    assert environment(kafka)["KAFKA_LOG_DIRS"]["value"].startswith(f"{data['mountPath']}/")


def test_a_name_that_is_mistyped_makes_no_topic() -> None:
    """It would have one partition, whatever the values say."""
    assert environment(container("embedded", "kafka"))["KAFKA_AUTO_CREATE_TOPICS_ENABLE"]["value"] == "false"


def test_a_kafka_of_ones_own_has_no_other_beside_it() -> None:
    assert not of_component("tls", "kafka")
