"""What is in the image of the services, what is not, and where its containers may write."""

import json
import re
import subprocess
from pathlib import Path

import pytest

from nextclick.extras import EXTRAS
from tests.images.build import PROJECT
from tests.images.conftest import Release
from tests.images.kubelet import Finished, MountedImage

pytestmark = pytest.mark.timeout(1200)
PACKAGES = ("nextclick", "runtime", "feature_repo", "streaming", "training", "serving")
SITE = "opt/nextclick/lib/python3.11/site-packages"
WORKLOADS = {
    "gateway": "Deployment",
    "streaming": "Deployment",
    "catalogue": "Deployment",
    "archive": "Deployment",
    "compaction": "CronJob",
    "migration": "Job",
}
WRITABLE = """
import json, os
found = []
for folder, inner, _ in os.walk("/"):
    if folder == "/":
        inner[:] = [name for name in inner if name not in ("proc", "sys")]
    try:
        os.close(os.open(os.path.join(folder, ".written"), os.O_CREAT | os.O_WRONLY))
    except OSError:
        continue
    found.append(folder)
    inner.clear()
print(json.dumps(sorted(found)))
"""


def run(release: Release, *command: str) -> Finished:
    """A command where the gateway's would run."""
    return release.kubelet.run(release.workload("Deployment", "gateway"), list(command))


@pytest.mark.parametrize("component", WORKLOADS)
def test_a_container_can_write_to_its_volumes_and_nowhere_else(plain: Release, component: str) -> None:
    workload = plain.workload(WORKLOADS[component], component)
    ended = plain.kubelet.run(workload, ["python", "-c", WRITABLE])
    claims = {"/archive"} if component in ("archive", "compaction") else set()
    assert set(json.loads(ended.log)) == {"/dev/shm", "/tmp", "/var/lib/nextclick"} | claims  # noqa: S108


def test_every_tracked_file_of_the_code_is_in_the_image_with_its_bytecode(services_image: MountedImage) -> None:
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "--deduplicate", *PACKAGES],  # noqa: S607
        cwd=PROJECT,
        check=True,
        capture_output=True,
        text=True,
        timeout=60,
    )
    files = [Path(line) for line in listed.stdout.splitlines() if (PROJECT / line).is_file()]
    assert Path("feature_repo/feature_store.yaml") in files
    site = services_image.root / SITE
    assert [file for file in files if (PROJECT / file).read_bytes() != (site / file).read_bytes()] == []
    code = [file for file in files if file.suffix == ".py" and file.parent.name != "onnxruntime_backend"]
    assert [f for f in code if not (site / f.parent / "__pycache__" / f"{f.stem}.cpython-311.pyc").exists()] == []


def test_no_tool_of_the_build_and_no_package_of_an_extra_is_in_the_image(services_image: MountedImage) -> None:
    site = services_image.root / SITE
    packages = {"pip", "uv", "mypy", "pytest", *(package for packages in EXTRAS.values() for package in packages)}
    assert not [package for package in packages if (site / package).exists()]
    assert not (services_image.root / "opt/uv").exists()
    assert not list((services_image.root / "opt/nextclick/bin").glob("pip*"))
    assert [file for file in (services_image.root / "var/cache/uv").rglob("*") if file.is_file()] == []


def test_the_image_lists_its_packages_with_their_licences(services_image: MountedImage) -> None:
    rows = [line.split("\t") for line in (services_image.root / "opt/nextclick/LICENCES").read_text().splitlines()]
    licences = {name: licence for name, _, licence, _ in rows}
    assert (licences["nextclick"], licences["psycopg"]) == ("Apache-2.0", "LGPL-3.0-only")
    site = services_image.root / SITE
    assert len(rows) == len(list(site.glob("*.dist-info")))
    assert [text for row in rows for text in row[3].split() if not (site / text).exists()] == []


def test_the_image_names_its_user_and_its_command_but_no_entry_point(services_image: MountedImage) -> None:
    configuration = services_image.configuration
    assert configuration["User"] == "10001:10001"
    assert configuration["Cmd"] == ["nextclick", "--help"]
    assert "Entrypoint" not in configuration
    labels = configuration["Labels"]
    assert labels["org.opencontainers.image.title"] == "nextclick"
    assert labels["org.opencontainers.image.version"]
    assert re.fullmatch("[0-9a-f]{40}", labels["org.opencontainers.image.revision"])


@pytest.mark.parametrize(
    "command",
    [
        ["nextclick", "--help"],
        *(["nextclick", verb, "--help"] for verb in ("recommend", "backfill", "erase", "items", "dlq")),
        ["nextclick", "archive", "compact", "--help"],
        [
            "python",
            "-c",
            "import streaming.jobs.erase, streaming.jobs.backfill, streaming.dead_letters.reader, feature_repo.fields",
        ],
        ["python", "-c", "import s3fs, gcsfs, psycopg; psycopg.pq.version()"],
    ],
    ids=" ".join,
)
def test_what_an_operator_needs_runs_in_the_image(plain: Release, command: list[str]) -> None:
    ended = run(plain, *command)
    assert ended.returncode == 0, ended.log


def test_a_verb_that_needs_more_than_the_image_has_says_what(plain: Release) -> None:
    ended = run(plain, "nextclick", "train")
    assert ended.returncode == 1
    assert "pip install 'nextclick[training]'" in ended.log
    assert "Traceback" not in ended.log
