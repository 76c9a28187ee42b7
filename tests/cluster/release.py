"""One scenario of the chart as a release in a namespace of its own, with all that its values say is there already."""

import json
import time
from pathlib import Path
from typing import Any

import yaml

from tests.cluster.api import Object
from tests.cluster.control_plane import ClusterError, ControlPlane
from tests.cluster.prerequisites import prerequisites
from tests.support.project import PROJECT

CHART = PROJECT / "helm"
SCENARIOS = ("minimal", "gpu-production", "tls", "keda", "embedded")
NAME = "shop"
INSTALL_SECONDS = 60

_STANDARD = {f"pod-security.kubernetes.io/{mode}": "restricted" for mode in ("enforce", "warn", "audit")}
_MADE_BY_KUBERNETES = {"ConfigMap/kube-root-ca.crt", "ServiceAccount/default"}
_KEPT = "helm.sh/resource-policy"


def values_file(scenario: str) -> Path:
    """Where the scenario's values stand."""
    return CHART / "ci" / f"{scenario}-values.yaml"


def values(scenario: str) -> dict[str, Any]:
    """The scenario's values with the chart's own beneath."""
    return _merged(
        yaml.safe_load((CHART / "values.yaml").read_text()), yaml.safe_load(values_file(scenario).read_text())
    )


class Release:
    """A scenario in a namespace where the `restricted` standard is enforced."""

    def __init__(self, cluster: ControlPlane, scenario: str, namespace: str) -> None:
        self.cluster = cluster
        self.scenario = scenario
        self.namespace = namespace
        self.is_installed = False
        self._prepared: set[str] = set()
        labels = {"kubernetes.io/metadata.name": namespace, **_STANDARD}
        self._create([{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace, "labels": labels}}])
        account = f"/api/v1/namespaces/{namespace}/serviceaccounts/default"
        cluster.wait("the namespace's ServiceAccount", lambda: bool(cluster.api.get(account)))

    def install(self, *arguments: str) -> float:
        """Installs the scenario and waits until it runs; returns the seconds. Raises ClusterError."""
        seconds = self._helm("install", self.scenario, *arguments)
        self.is_installed = True
        return seconds

    def upgrade(self, scenario: str, *arguments: str) -> float:
        """Upgrades to another scenario, on the storage of this one. Raises ClusterError.

        Kubernetes changes no claim, and the items file lies on one.
        """
        before = values(self.scenario)
        stays = {"storage": before["storage"], "training.itemsFile": before["training"]["itemsFile"]}
        settings = [word for key, value in stays.items() for word in ("--set-json", f"{key}={json.dumps(value)}")]
        return self._helm("upgrade", scenario, *settings, *arguments)

    def rollback(self) -> None:
        """Goes back to what was there before the last upgrade. Raises ClusterError."""
        self._run("rollback", NAME, "--wait", "--wait-for-jobs")

    def uninstall(self) -> None:
        """Takes the release away and waits for its pods to be gone. Raises ClusterError."""
        self.is_installed = False
        self._run("uninstall", NAME, "--wait")
        self.cluster.wait("no pods", lambda: not self.items("pods"))

    def items(self, resource: str, group: str = "api/v1") -> list[Object]:
        """Objects of a resource in the namespace; `group` such as `apis/apps/v1`."""
        return self.cluster.api.items(f"/{group}/namespaces/{self.namespace}/{resource}")

    def everything(self) -> dict[str, Object]:
        """Every object in the namespace, of whatever kind, by `Kind/name`; but what Kubernetes itself keeps there."""
        listed = self.cluster.kubectl(
            "get", self.cluster.namespaced_kinds, "--namespace", self.namespace, "--output=json"
        )
        found = {f"{item['kind']}/{item['metadata']['name']}": item for item in json.loads(listed)["items"]}
        return {key: item for key, item in found.items() if key not in _MADE_BY_KUBERNETES | self._prepared}

    def settled(self) -> None:
        """Waits until every pod that is to run is ready. Raises ClusterError."""
        self.cluster.wait("every pod to be ready", lambda: all(map(is_ready_or_done, self.items("pods"))))

    def close(self, wait: bool = False) -> None:
        """Removes the namespace, whatever is in it, and the volumes made for it, which takes the cluster seconds."""
        self.cluster.kubectl("delete", "namespace", self.namespace, f"--wait={wait}".lower())
        self.cluster.kubectl("delete", "persistentvolume", f"--selector=namespace={self.namespace}", "--wait=false")

    def _helm(self, verb: str, scenario: str, *arguments: str) -> float:
        objects = [item for item in yaml.safe_load_all(self.rendered(scenario, *arguments)) if item]
        self._create(prerequisites(values(scenario), objects, self.namespace))
        begin = time.monotonic()
        chart = (NAME, str(CHART), "--values", str(values_file(scenario)))
        self._run(verb, *chart, *arguments, "--wait", "--wait-for-jobs")
        return time.monotonic() - begin

    def _run(self, *arguments: str) -> None:
        done = self.cluster.helm(*arguments, "--namespace", self.namespace, f"--timeout={INSTALL_SECONDS}s")
        if done.returncode:
            raise ClusterError(
                f"helm {arguments[0]} of {self.scenario}:\n{done.stdout}{done.stderr}\n{self._complaints()}"
            )

    def _complaints(self) -> str:
        """What the cluster says of pods that do not come up."""
        events = [event for event in self.items("events") if event["type"] == "Warning"]
        return "\n".join(sorted({f"{event['involvedObject']['name']}: {event['message']}" for event in events}))

    def rendered(self, scenario: str, *arguments: str) -> str:
        """What the chart makes of a scenario's values. Raises ClusterError."""
        chart = (NAME, str(CHART), "--values", str(values_file(scenario)))
        done = self.cluster.helm("template", *chart, *arguments, "--namespace", self.namespace)
        if done.returncode:
            raise ClusterError(f"helm template of {scenario}:\n{done.stderr}")
        return done.stdout

    def _create(self, items: list[Object]) -> None:
        """Creates what is not there yet."""
        new = {f"{item['kind']}/{item['metadata']['name']}": item for item in items}
        missing = {key: item for key, item in new.items() if key not in self._prepared}
        if missing:
            text = json.dumps({"apiVersion": "v1", "kind": "List", "items": list(missing.values())})
            self.cluster.kubectl("apply", "--server-side", "--filename", "-", stdin=text)
        self._prepared |= new.keys()


def kept(item: Object) -> bool:
    """Whether the chart asks Helm to leave the object at an uninstall."""
    return item["metadata"].get("annotations", {}).get(_KEPT) == "keep"


def conditions(item: Object) -> dict[str, str]:
    """Status of each condition of an object."""
    return {each["type"]: each["status"] for each in item.get("status", {}).get("conditions", [])}


def is_ready(pod: Object) -> bool:
    """Whether a pod counts as healthy for a disruption budget."""
    return conditions(pod).get("Ready") == "True" and "deletionTimestamp" not in pod["metadata"]


def is_ready_or_done(pod: Object) -> bool:
    """Whether nothing is left to wait for: ready, or a Job's pod that succeeded."""
    return pod["status"]["phase"] == "Succeeded" or is_ready(pod)


def matches(selector: dict[str, Any], item: Object) -> bool:
    """Whether a `matchLabels` selector picks the object."""
    labels = item["metadata"].get("labels", {})
    return all(labels.get(key) == value for key, value in selector["matchLabels"].items())


def _merged(below: dict[str, Any], above: dict[str, Any] | None) -> dict[str, Any]:
    merged = dict(below)
    for key, value in (above or {}).items():
        both = isinstance(value, dict) and isinstance(merged.get(key), dict)
        merged[key] = _merged(merged[key], value) if both else value
    return merged
