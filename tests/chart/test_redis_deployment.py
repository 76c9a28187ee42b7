"""The embedded Redis' pod; that the real server starts with it: test_third_party_servers.py."""

import pytest

from tests.chart.rendering import container, of, of_component, pod


def test_two_servers_never_write_to_one_volume() -> None:
    spec = of("embedded", "Deployment", "redis")["spec"]
    assert spec["replicas"] == 1
    assert spec["strategy"] == {"type": "Recreate"}


@pytest.mark.parametrize(
    ("storage", "volume"),
    [("1Gi", {"persistentVolumeClaim": {"claimName": "shop-redis"}}), ("", {"emptyDir": {"sizeLimit": "2Gi"}})],
)
def test_features_lie_on_a_claim_where_there_is_one(storage: str, volume: dict[str, object]) -> None:
    settings = (f"redis.embedded.storage={storage}",)
    assert pod("embedded", "redis", *settings)["volumes"] == [{"name": "data", **volume}]
    redis = container("embedded", "redis", *settings)
    folder = redis["command"][redis["command"].index("--dir") + 1]
    assert redis["volumeMounts"] == [{"name": "data", "mountPath": folder}]


def test_a_command_that_keeps_it_busy_is_no_reason_to_restart_it() -> None:
    """Redis answers one after the other, so a ping waits as well: then no requests, but no restart either."""
    redis = container("embedded", "redis")
    assert redis["livenessProbe"]["tcpSocket"] == {"port": "redis"}
    assert redis["readinessProbe"]["exec"]["command"] == ["redis-cli", "-e", "ping"]


def test_a_redis_of_ones_own_has_no_other_beside_it() -> None:
    assert not of_component("tls", "redis")
