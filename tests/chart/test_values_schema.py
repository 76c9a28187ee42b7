"""The schema of the values: closed everywhere, and readable where it refuses."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from tests.chart.rendering import CHART, SCENARIOS, helm, refusal

SCHEMA = json.loads((CHART / "values.schema.json").read_text())
REFUSED = [
    (("gateway.replicas=-1",), "/gateway/replicas"),
    (("gatway.replicas=1",), "gatway"),
    (("gateway.replica=1",), "replica"),
    (('gateway.replicas="two"',), "/gateway/replicas"),
    (("gateway.port=80",), "/gateway/port"),
    (("gateway.service.type=ExternalName",), "/gateway/service/type"),
    (("gateway.service.port=0",), "/gateway/service/port"),
    (("gateway.podDisruptionBudget.maxUnavailable=0",), "/gateway/podDisruptionBudget/maxUnavailable"),
    (('gateway.tolerations=[{}, {"kee": "gpu"}]',), "kee"),
    (('gateway.affinity={"nodeAfinity": {}}',), "nodeAfinity"),
    (("gateway.tls.enabled=true", "gateway.tls.certManager.enabled=true"), "/gateway/tls/certManager/issuerName"),
    (("gateway.tls.certManager.enabled=true", "gateway.tls.certManager.issuerName=x"), "/gateway/tls/enabled"),
    (("image.tag=latest",), "/image/tag"),
    (("kafka.bootstrapServers=kafka",), "/kafka/bootstrapServers"),
    (("kafka.security.protocol=SASL_SSL",), "/kafka/security/saslMechanism"),
    (("kafka.security.saslMechanism=PLAIN",), "/kafka/security/saslMechanism"),
    (("kafka.security.tlsSecret=ca",), "/kafka/security/tlsSecret"),
    (("kafka.security.protocol=SSL", "kafka.security.clientCertificate=true"), "/kafka/security/tlsSecret"),
    (("kafka.embedded.enabled=true", "kafka.security.protocol=SSL"), "/kafka/security/protocol"),
    (("kafka.topicPartitions=65",), "/kafka/topicPartitions"),
    (("kafka.replicationFactor=0",), "/kafka/replicationFactor"),
    (("redis.existingSecret=",), "/redis/existingSecret"),
    (("redis.existingSecret=redis://:pw@redis",), "/redis/existingSecret"),
    (("redis.embedded.enabled=true", "redis.tlsSecret=ca"), "/redis/tlsSecret"),
    (("registry.existingSecret=", "registry.tlsSecret=ca"), "/registry/tlsSecret"),
    (("storage.archive.url=abfs://container/events",), "/storage/archive/url"),
    (("storage.models.kind=url",), "/storage/models/url"),
    (("storage.models.kind=url", "storage.models.url=as://account/models"), "/storage/models/url"),
    (("storage.models.kind=url", "storage.models.url=s3://user:password@models"), "/storage/models/url"),
    (("storage.archive.url=s3://user:password@bucket",), "/storage/archive/url"),
    (("storage.archive.url=s3://bucket", "training.itemsFile=items.parquet"), "/training/itemsFile"),
    (("storage.runs.size=20 gigabytes",), "/storage/runs/size"),
    (("triton.gpu.count=0",), "/triton/gpu/count"),
    (('triton.resources.limits={"memory": "8Gi", "nvidia.com/gpu": 1}',), "nvidia.com/gpu"),
    (('triton.resources.limits={"nvidia.com/gpu": 1}',), "nvidia.com/gpu"),
    (('triton.resources.limits={"memory": null}',), "memory"),
    (('gateway.resources.requests={"cpu": null}',), "cpu"),
    (("triton.enabled=false",), "/triton/externalUrl"),
    (("triton.externalUrl=triton:8001",), "/triton/externalUrl"),
    (("training.runId=Big_Run",), "/training/runId"),
    (("training.schedule=daily",), "/training/schedule"),
    (("archive.compaction.deadlineSeconds=0",), "/archive/compaction/deadlineSeconds"),
    (("metrics.rules.errorRatio=2",), "/metrics/rules/errorRatio"),
    (('networkPolicy.kafka=[{"ipBlok": {}}]',), "ipBlok"),
]


def parts(schema: object) -> Iterator[dict[str, Any]]:
    if isinstance(schema, dict):
        yield schema
    for child in schema.values() if isinstance(schema, dict) else schema if isinstance(schema, list) else ():
        yield from parts(child)


def test_every_object_is_closed_or_holds_words_of_the_users_own() -> None:
    closed = [part for part in parts(SCHEMA) if part.get("type") == "object"]
    assert len(closed) > 50
    for part in closed:
        assert part["additionalProperties"] in (False, {"type": "string"}), part


def test_every_value_of_the_chart_is_described_and_nothing_else_is() -> None:
    """Helm adds `global`; shared definitions may have more that can be set, such as a limit of CPU."""
    properties = {name: part for name, part in SCHEMA["properties"].items() if name != "global"}
    described = {**SCHEMA, "properties": properties}
    values = yaml.safe_load((CHART / "values.yaml").read_text())
    assert [*differences(described, values)] == []


def differences(part: dict[str, Any], value: object, path: str = "", is_shared: bool = False) -> Iterator[str]:
    """Where the keys of the values are not those of the schema."""
    if "$ref" in part:
        is_shared, part = True, SCHEMA["definitions"][part["$ref"].rpartition("/")[2]]
    if not isinstance(value, dict) or "properties" not in part:
        return
    required, known = set(part["required"]), part["properties"].keys()
    if not required <= value.keys() <= known or not (is_shared or required == known):
        yield f"{path}: {sorted(value.keys() ^ known)}, required {sorted(required)}"
    for key in value.keys() & known:
        yield from differences(part["properties"][key], value[key], f"{path}/{key}", is_shared)


def test_nothing_in_the_schema_is_left_unused() -> None:
    text = json.dumps(SCHEMA)
    for name in SCHEMA["definitions"]:
        assert f'"#/definitions/{name}"' in text, name


@pytest.mark.parametrize(("settings", "named"), REFUSED, ids=lambda value: str(value)[:60])
def test_values_that_cannot_work_are_refused_by_name(settings: tuple[str, ...], named: str) -> None:
    message = refusal(*settings)
    assert named in message
    assert len(message.splitlines()) < 12


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_helm_finds_no_fault_with_a_scenario(scenario: str) -> None:
    done = helm("lint", "--strict", str(CHART), "--kube-version=1.33.0", f"--values={CHART}/ci/{scenario}-values.yaml")
    assert done.returncode == 0, done.stdout + done.stderr
