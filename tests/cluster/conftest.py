"""One control plane for the whole run; each scenario of the chart in a namespace of its own."""

import os
import subprocess
from collections.abc import Callable, Iterator

import pytest

from tests.cluster.control_plane import ControlPlane
from tests.cluster.release import SCENARIOS, Release
from tests.cluster.tools import found_or_skipped

Helm = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture(scope="session")
def helm(tmp_path_factory: pytest.TempPathFactory) -> Helm:
    """Runs Helm without any cluster."""
    program, home = found_or_skipped().helm, tmp_path_factory.mktemp("helm")
    env = {"PATH": os.environ["PATH"], "HOME": str(home), "KUBECONFIG": str(home / "none")}

    def run(*arguments: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run([program, *arguments], env=env, capture_output=True, text=True, timeout=60)

    return run


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    """A Kubernetes control plane with five nodes, three without and two with GPUs."""
    with ControlPlane(found_or_skipped(), tmp_path_factory.mktemp("cluster")) as running:
        yield running


@pytest.fixture(scope="module", params=SCENARIOS)
def scenario_release(request: pytest.FixtureRequest, cluster: ControlPlane) -> Iterator[Release]:
    """A release of each scenario in turn."""
    release = Release(cluster, request.param, f"shop-{request.param}")
    yield release
    release.close()


@pytest.fixture
def release(scenario_release: Release) -> Release:
    """The release, installed and settled: again where the test before took it away."""
    if not scenario_release.is_installed:
        scenario_release.install()
    scenario_release.settled()
    return scenario_release
