"""What a scenario's values say is in the cluster already: Secrets, volumes, claims and priority classes.

Secrets hold the keys that values.yaml promises for them and no others, so that a test sees a key that is missing.
"""

from collections.abc import Iterable, Iterator
from typing import Any

from tests.cluster.api import Object

_SASL = ("KAFKA_SASL_USERNAME", "KAFKA_SASL_PASSWORD")
_OAUTH = ("KAFKA_OAUTH_TOKEN_URL", "KAFKA_OAUTH_CLIENT_ID", "KAFKA_OAUTH_CLIENT_SECRET")
_CERTIFICATE = ("tls.crt", "tls.key")
_CLOUD = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")


def prerequisites(values: dict[str, Any], rendered: Iterable[Object], namespace: str) -> list[Object]:
    """Objects to create before the scenario is installed; `rendered` is what the chart makes of the values."""
    claims = [_claim(name) for name in _claims_named(values)]
    made = [*claims, *_claims_made(rendered)]
    volumes = [_volume(claim, namespace) for claim in made]
    secrets = [_secret(name, keys) for name, keys in _secrets(values).items()]
    objects = [*secrets, *claims]
    for item in objects:
        item["metadata"]["namespace"] = namespace
    return [*objects, *volumes, *map(_priority_class, _priority_classes(values))]


def _secrets(values: dict[str, Any]) -> dict[str, set[str]]:
    secrets: dict[str, set[str]] = {}
    for name, keys in _secrets_named(values):
        if name:
            secrets.setdefault(name, set()).update(keys)
    return secrets


def _secrets_named(values: dict[str, Any]) -> Iterator[tuple[str, Iterable[str]]]:
    security, tls = values["kafka"]["security"], values["gateway"]["tls"]
    if not values["kafka"]["embedded"]["enabled"]:
        yield security["existingSecret"], _OAUTH if security["saslMechanism"] == "OAUTHBEARER" else _SASL
        yield security["tlsSecret"], ("ca.crt", *(_CERTIFICATE if security["clientCertificate"] else ()))
    if not values["redis"]["embedded"]["enabled"]:
        yield values["redis"]["existingSecret"], ("REDIS_URL",)
        yield values["redis"]["tlsSecret"], ("ca.crt",)
    yield values["registry"]["existingSecret"], ("REGISTRY_URL",)
    yield values["registry"]["tlsSecret"], ("ca.crt",)
    yield values["erasure"]["existingSecret"], ("ERASURE_KEY",)
    yield values["storage"]["credentialsSecret"], _CLOUD
    if tls["enabled"]:
        # Where cert-manager is to make it, this test is cert-manager.
        yield tls["secretName"], _CERTIFICATE
    for name in values["imagePullSecrets"]:
        yield name if isinstance(name, str) else name["name"], (".dockerconfigjson",)


def _claims_named(values: dict[str, Any]) -> list[str]:
    return [part["existingClaim"] for part in values["storage"].values() if _has(part, "existingClaim")]


def _has(part: Any, key: str) -> bool:
    return isinstance(part, dict) and bool(part.get(key))


def _priority_classes(values: dict[str, Any]) -> set[str]:
    named = {part["priorityClassName"] for part in values.values() if _has(part, "priorityClassName")}
    return {name for name in named if not name.startswith("system-")}


def _claims_made(rendered: Iterable[Object]) -> Iterator[Object]:
    for item in rendered:
        if item["kind"] == "PersistentVolumeClaim":
            yield item
        for template in item.get("spec", {}).get("volumeClaimTemplates", []):
            name = f"{template['metadata']['name']}-{item['metadata']['name']}-0"
            yield {"metadata": {"name": name}, "spec": template["spec"]}


def _claim(name: str) -> Object:
    spec = {"accessModes": ["ReadWriteMany"], "storageClassName": "", "resources": {"requests": {"storage": "1Gi"}}}
    return {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": name}, "spec": spec}


def _volume(claim: Object, namespace: str) -> Object:
    """A volume for this claim alone: nothing here provisions one."""
    name = claim["metadata"]["name"]
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {"name": f"{namespace}-{name}", "labels": {"namespace": namespace}},
        "spec": {
            "capacity": {"storage": claim["spec"]["resources"]["requests"]["storage"]},
            "accessModes": claim["spec"]["accessModes"],
            "storageClassName": claim["spec"].get("storageClassName", ""),
            "claimRef": {"namespace": namespace, "name": name},
            "persistentVolumeReclaimPolicy": "Retain",
            "hostPath": {"path": f"/volumes/{namespace}/{name}"},
        },
    }


def _secret(name: str, keys: Iterable[str]) -> Object:
    # Nothing reads the content: no container runs here.
    data = {key: "{}" if key == ".dockerconfigjson" else "placeholder" for key in sorted(keys)}
    return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "stringData": data}


def _priority_class(name: str) -> Object:
    return {
        "apiVersion": "scheduling.k8s.io/v1",
        "kind": "PriorityClass",
        "metadata": {"name": name},
        "value": 1000,
    }
