"""`python -m tests.cluster.table` installs every scenario on an empty cluster and writes helm/ci/SCENARIOS.md."""

import sys
import tempfile
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import yaml

from tests.cluster.control_plane import ClusterError, ControlPlane
from tests.cluster.release import CHART, SCENARIOS, Release, is_ready
from tests.cluster.tools import NoToolsError, build

PATH = CHART / "ci" / "SCENARIOS.md"
_HEAD = """\
Objects of each scenario in `ci/`, and how long `helm install --wait` took on a real Kubernetes {version} API. The nodes
were made up by KWOK: no image was pulled and no container ran, so the time is that of the API, the scheduler and Helm.
Written by `python -m tests.cluster.table`.

"""


@dataclass(frozen=True)
class Measured:
    """One scenario as it was installed."""

    kinds: Mapping[str, int]
    pods: int
    gpu_pods: int
    seconds: float


def measure(cluster: ControlPlane, scenario: str) -> Measured:
    """Installs the scenario in a namespace of its own and takes it away again."""
    release = Release(cluster, scenario, f"table-{scenario}")
    try:
        seconds = release.install()
        release.settled()
        pods = [pod for pod in release.items("pods") if is_ready(pod)]
        on_gpus = sum(pod["spec"]["nodeName"].startswith("gpu-") for pod in pods)
        return Measured(kinds(release.rendered(scenario)), len(pods), on_gpus, seconds)
    finally:
        release.close(wait=True)


def kinds(rendered: str) -> dict[str, int]:
    """How many objects of each kind a rendered chart has."""
    return dict(Counter(item["kind"] for item in yaml.safe_load_all(rendered) if item))


def written(measured: Mapping[str, Measured], version: str) -> str:
    """The file's text."""
    names = sorted({kind for each in measured.values() for kind in each.kinds})
    rows = [("", *measured)]
    rows += [(name, *(str(each.kinds.get(name, "")) for each in measured.values())) for name in names]
    rows.append(("objects in all", *(str(sum(each.kinds.values())) for each in measured.values())))
    rows.append(("pods running", *(str(each.pods) for each in measured.values())))
    rows.append(("on GPU nodes", *(str(each.gpu_pods) for each in measured.values())))
    rows.append(("install, seconds", *(f"{each.seconds:.1f}" for each in measured.values())))
    lines = [f"| {' | '.join(row)} |" for row in rows]
    return "\n".join([_HEAD.format(version=version) + lines[0], "|---" + "|--:" * len(measured) + "|", *lines[1:], ""])


def counts_in(text: str) -> dict[str, dict[str, int]]:
    """Object counts by scenario and kind that stand in the file."""
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line.startswith("|")]
    scenarios, counted = rows[0][1:], {row[0]: row[1:] for row in rows[2:] if row[0][:1].isupper()}
    return {
        scenario: {kind: int(cells[at]) for kind, cells in counted.items() if cells[at]}
        for at, scenario in enumerate(scenarios)
    }


def main() -> None:
    """Measures and writes."""
    with tempfile.TemporaryDirectory() as folder, ControlPlane(build(), Path(folder)) as cluster:
        version = cluster.api.get("/version")["gitVersion"]
        measured = {scenario: measure(cluster, scenario) for scenario in SCENARIOS}
    PATH.write_text(written(measured, version))
    print(PATH.read_text())


if __name__ == "__main__":
    try:
        main()
    except (NoToolsError, ClusterError) as error:
        sys.exit(str(error))
