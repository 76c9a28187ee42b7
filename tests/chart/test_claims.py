"""Claims that the chart makes: for whom, how large, and that they outlive the release."""

from tests.chart.rendering import Object, objects


def claims(scenario: str, *settings: str) -> dict[str, Object]:
    rendered = objects(scenario, *settings)
    return {item["metadata"]["name"]: item for item in rendered if item["kind"] == "PersistentVolumeClaim"}


def test_an_uninstall_loses_no_data() -> None:
    made = claims("embedded")
    assert set(made) == {f"shop-{name}" for name in ("archive", "runs", "models", "kafka", "redis")}
    for claim in made.values():
        assert claim["metadata"]["annotations"] == {"helm.sh/resource-policy": "keep"}


def test_nodes_share_claims_unless_the_values_say_that_there_is_one_node() -> None:
    assert {claim["spec"]["accessModes"][0] for claim in claims("tls").values()} == {"ReadWriteMany"}
    assert {claim["spec"]["accessModes"][0] for claim in claims("embedded").values()} == {"ReadWriteOnce"}


def test_what_lies_in_object_storage_needs_no_claim() -> None:
    assert set(claims("gpu-production")) == {"shop-runs"}
    assert claims("gpu-production")["shop-runs"]["spec"]["storageClassName"] == "shared"


def test_a_claim_that_exists_is_not_made() -> None:
    assert set(claims("keda")) == {"shop-runs"}
    everything = ("storage.runs.existingClaim=runs", "storage.models.existingClaim=models")
    assert set(claims("tls", *everything)) == {"shop-archive"}


def test_parts_that_are_off_ask_for_no_claims() -> None:
    assert not claims("minimal")
    assert set(claims("minimal", "storage.models.kind=claim")) == {"shop-models"}


def test_an_embedded_server_without_a_size_keeps_its_data_in_the_pod() -> None:
    made = claims("embedded", "kafka.embedded.storage=", "redis.embedded.storage=")
    assert set(made) == {f"shop-{name}" for name in ("archive", "runs", "models")}
