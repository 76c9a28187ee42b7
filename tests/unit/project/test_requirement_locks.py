"""The locks of the images hold the versions that are tested, by hash, and no more than they need."""

import re

import pytest

from runtime.extras import EXTRAS
from tests.support.project import PROJECT

LOCKS = ("requirements.lock", "requirements-services.lock", "requirements-training.lock")


def pinned(lock: str) -> dict[str, set[str]]:
    """Versions by package; several where they depend on the platform."""
    text = (PROJECT / lock).read_text().replace("\\\n", " ")
    found: dict[str, set[str]] = {}
    for line in text.splitlines():
        match = re.match(r"([a-z0-9-]+)==(\S+) .*--hash=sha256:", line)
        assert match, f"no version with its hash: {line}"
        found.setdefault(match[1], set()).add(match[2])
    return found


@pytest.mark.parametrize("lock", LOCKS[1:])
def test_an_image_holds_the_versions_that_the_tests_run_with(lock: str) -> None:
    tested = pinned("requirements.lock")
    assert {name: versions for name, versions in pinned(lock).items() if not versions <= tested.get(name, set())} == {}


def test_the_slim_image_has_no_package_of_an_extra_that_it_does_without() -> None:
    left_out = {package for packages in EXTRAS.values() for package in packages}
    assert left_out & pinned("requirements-services.lock").keys() == set()
    assert set(EXTRAS["training"]) <= pinned("requirements-training.lock").keys()


@pytest.mark.parametrize("lock", LOCKS)
def test_a_lock_names_no_host(lock: str) -> None:
    assert "://" not in (PROJECT / lock).read_text()


@pytest.mark.parametrize("image", ["services", "training"])
def test_images_are_built_by_the_uv_that_the_makefile_takes(image: str) -> None:
    versions = [
        re.search(r"UV_VERSION ?:?= ?(\S+)", (PROJECT / path).read_text())
        for path in ("Makefile", f"images/{image}.Dockerfile")
    ]
    assert versions[0]
    assert versions[1]
    assert versions[0][1] == versions[1][1]
