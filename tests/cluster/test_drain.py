"""`kubectl drain` of the one node that holds every pod: the disruption budgets decide how fast it goes."""

from collections.abc import Iterator

import pytest

from tests.cluster.api import Object
from tests.cluster.control_plane import ControlPlane
from tests.cluster.release import Release, is_ready, matches

SCENARIO = "gpu-production"
FULL = {"cpu-1", "gpu-1"}
"""Nodes that get all pods of their sort."""


@pytest.fixture
def crowded(cluster: ControlPlane) -> Iterator[Release]:
    """A release whose pods all stand on two nodes, while the others are free again."""
    others = [node["metadata"]["name"] for node in cluster.api.items("/api/v1/nodes")]
    others = [name for name in others if name not in FULL]
    cluster.kubectl("cordon", *others)
    release = Release(cluster, SCENARIO, "crowded")
    try:
        release.install()
        release.settled()
    finally:
        cluster.kubectl("uncordon", *others)
    yield release
    cluster.kubectl("uncordon", *FULL)
    release.close()


def test_a_drain_keeps_every_disruption_budget(crowded: Release) -> None:
    assert {pod["spec"]["nodeName"] for pod in crowded.items("pods") if is_ready(pod)} == FULL
    budgets = crowded.items("poddisruptionbudgets", "apis/policy/v1")
    assert budgets
    with crowded.cluster.api.watch(f"/api/v1/namespaces/{crowded.namespace}/pods") as watch:
        said = [_drain(crowded.cluster, node) for node in sorted(FULL)]
        crowded.settled()
    least = {budget["metadata"]["name"]: _least_ready(budget, watch.before, watch.changes) for budget in budgets}
    owed = {budget["metadata"]["name"]: budget["status"]["desiredHealthy"] for budget in budgets}
    assert {name: least[name] for name, wanted in owed.items() if least[name] < wanted} == {}
    # Had no eviction been refused, the drain would have proved nothing.
    assert "violate the pod's disruption budget" in "".join(said)
    left = {pod["metadata"]["name"] for pod in crowded.items("pods") if pod["spec"]["nodeName"] in FULL}
    assert left <= {pod["metadata"]["name"] for pod in crowded.items("pods") if pod["status"]["phase"] == "Succeeded"}


def _drain(cluster: ControlPlane, node: str) -> str:
    command = ["drain", node, "--delete-emptydir-data", "--ignore-daemonsets", "--timeout=100s"]
    done = cluster.run([str(cluster.tools.kubernetes), "kubectl", *command])
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def _least_ready(budget: Object, before: list[Object], changes: list[tuple[str, Object]]) -> int:
    """The fewest pods of the budget that were ready at any moment."""
    pods = {pod["metadata"]["name"]: pod for pod in before if matches(budget["spec"]["selector"], pod)}
    least = sum(map(is_ready, pods.values()))
    for what, pod in changes:
        if not matches(budget["spec"]["selector"], pod):
            continue
        if what == "DELETED":
            pods.pop(pod["metadata"]["name"], None)
        else:
            pods[pod["metadata"]["name"]] = pod
        least = min(least, sum(map(is_ready, pods.values())))
    return least
