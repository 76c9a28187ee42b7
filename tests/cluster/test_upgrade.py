"""From one scenario's values to the next one's and back, on a running release."""

from collections.abc import Iterator
from itertools import pairwise

import pytest

from tests.cluster.api import Object
from tests.cluster.control_plane import ControlPlane
from tests.cluster.release import SCENARIOS, Release, kept

MANAGED = "app.kubernetes.io/managed-by"
STEPS = tuple(pairwise(SCENARIOS))
ASSIGNED = (".clusterIP", ".nodePort", ".healthCheckNodePort", "controller-uid")
"""Settings of a Service or a Job that the API chooses, anew when the object comes back."""


@pytest.fixture
def release(request: pytest.FixtureRequest, cluster: ControlPlane) -> Iterator[Release]:
    """A release of the scenario that the test names, running."""
    release = Release(cluster, request.param, f"from-{request.param}")
    release.install()
    yield release
    release.close()


@pytest.mark.parametrize(("release", "after"), STEPS, indirect=["release"])
def test_an_upgrade_runs_a_rollback_brings_back_and_an_uninstall_clears(release: Release, after: str) -> None:
    before = _declared(release)
    release.upgrade(after)
    release.settled()
    scaled = {f"Deployment/{target}.spec.replicas" for target in _autoscaled(release)}
    assert _changes(before, _declared(release))
    release.rollback()
    release.settled()
    # An autoscaler may set a number once more in the moment between Helm's patch and its own removal.
    assert _changes(before, _declared(release)).keys() <= scaled
    release.uninstall()
    release.cluster.wait("nothing to be left", lambda: all(map(kept, release.everything().values())))


@pytest.mark.parametrize("release", ["embedded"], indirect=True)
def test_claims_of_parts_that_are_switched_off_are_there_when_they_come_back(release: Release) -> None:
    """By an upgrade to the old values. Helm's rollback would ask Kubernetes to unbind the claims, which it refuses."""
    before, claims = _declared(release), _claims(release)
    release.upgrade("minimal")
    release.settled()
    assert _claims(release) == claims
    release.upgrade("embedded")
    release.settled()
    assert _claims(release) == claims
    assert _changes(before, _declared(release)) == {}


@pytest.mark.parametrize("release", ["minimal"], indirect=True)
def test_switching_autoscaling_on_takes_no_pod_away(release: Release) -> None:
    scaled = ("gateway", "streaming", "triton")
    fixed = [f"--set={part}.replicas=4" for part in scaled]
    release.upgrade("minimal", *fixed)
    on = [f"--set={part}.autoscaling.enabled=true,{part}.autoscaling.minReplicas=3" for part in scaled]
    with release.cluster.api.watch(f"/apis/apps/v1/namespaces/{release.namespace}/deployments") as watch:
        for _ in ("switched on", "later on"):
            release.upgrade("minimal", *fixed, *on)
            release.settled()
    assert _autoscaled(release) == {"shop-gateway", "shop-triton"}, "streaming has a ScaledObject"
    numbers = {item["metadata"]["name"]: item["spec"]["replicas"] for item in watch.before}
    assert numbers == {f"shop-{part}": 4 for part in scaled}
    assert [item["spec"]["replicas"] for _, item in watch.changes if item["spec"]["replicas"] < 3] == []


@pytest.mark.parametrize("release", ["gpu-production"], indirect=True)
def test_neither_an_upgrade_nor_a_rollback_sets_what_an_autoscaler_has_set_from_the_start(release: Release) -> None:
    def gateways() -> int:
        [found] = [item for item in release.items("deployments", "apis/apps/v1") if _name(item) == "shop-gateway"]
        return int(found["spec"]["replicas"])

    for change in (lambda: release.upgrade(release.scenario), release.rollback):
        number = gateways() + 2
        # As the autoscaler does, which has no metrics here.
        release.cluster.kubectl(
            "scale", "deployment/shop-gateway", f"--replicas={number}", "--namespace", release.namespace
        )
        change()
        assert gateways() == number


def _name(item: Object) -> str:
    return str(item["metadata"]["name"])


def _autoscaled(release: Release) -> set[str]:
    scalers = release.items("horizontalpodautoscalers", "apis/autoscaling/v2")
    return {scaler["spec"]["scaleTargetRef"]["name"] for scaler in scalers}


def _claims(release: Release) -> dict[str, str]:
    """Each claim and the volume it is bound to."""
    claims = release.items("persistentvolumeclaims")
    return {claim["metadata"]["name"]: claim["spec"]["volumeName"] for claim in claims}


def _changes(before: dict[str, object], after: dict[str, object]) -> dict[str, tuple[object, object]]:
    paths = {path for path in before.keys() | after.keys() if not any(part in path for part in ASSIGNED)}
    return {path: (before.get(path), after.get(path)) for path in paths if before.get(path) != after.get(path)}


def _declared(release: Release) -> dict[str, object]:
    """Every setting of what Helm brought, by its path; what controllers made of it, and what is kept, left out."""
    found: dict[str, object] = {}
    for key, item in release.everything().items():
        if _by_helm(item) and not kept(item):
            found |= _flat(key, {part: value for part, value in item.items() if part not in ("metadata", "status")})
    return found


def _by_helm(item: Object) -> bool:
    # Endpoints and pods carry our labels too, but Kubernetes made them.
    labels = item["metadata"].get("labels", {})
    return labels.get(MANAGED) == "Helm" and "ownerReferences" not in item["metadata"] and item["kind"] != "Endpoints"


def _flat(path: str, value: object) -> dict[str, object]:
    if not isinstance(value, dict | list) or not value:
        return {path: value}
    parts = value.items() if isinstance(value, dict) else enumerate(value)
    return {key: leaf for name, part in parts for key, leaf in _flat(f"{path}.{name}", part).items()}
