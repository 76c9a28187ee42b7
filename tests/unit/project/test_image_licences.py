"""An image's label names every licence in it that asks for more than a notice, and the list names every package."""

import re
import subprocess
import sys

import pytest

from tests.support.project import PROJECT

ASKING_FOR_MORE = {
    "LGPL-2.1-or-later": r"LGPL-2",
    "LGPL-3.0-only": r"LGPL-3",
    "MPL-2.0": r"MPL|Mozilla",
    "LicenseRef-NVIDIA-Proprietary": r"NVIDIA",
}
"""Names on the label, and how packages' metadata state them."""
ANYTHING_ELSE = re.compile(r"GPL|EUPL|CC-BY|Commercial|Proprietary|SSPL|BUSL", re.IGNORECASE)
WITHOUT_A_STATEMENT = {"cuda-toolkit"}
"""Packages of an image whose metadata say nothing: this one has no content but names NVIDIA's."""


@pytest.fixture(scope="module")
def listed() -> dict[str, str]:
    """Licence by package of what is installed here, which is what the images hold and more."""
    command = [sys.executable, "images/licences.py"]
    done = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, timeout=120, check=True)
    rows = [line.split("\t") for line in done.stdout.splitlines()]
    assert all(len(row) == 4 for row in rows)
    return {re.sub(r"[-_.]+", "-", name).lower(): licence for name, _, licence, _ in rows}


def licences_in(image: str, listed: dict[str, str]) -> dict[str, str]:
    lock = (PROJECT / f"requirements-{image}.lock").read_text()
    # What is for other platforms is not installed here.
    return {name: listed[name] for name in re.findall(r"^([a-z0-9-]+)==", lock, re.MULTILINE) if name in listed}


def label_of(image: str) -> set[str]:
    dockerfile = (PROJECT / "images" / f"{image}.Dockerfile").read_text()
    [label] = re.findall(r'image\.licenses="([^"]+)"', dockerfile)
    return set(label.split(" AND "))


@pytest.mark.parametrize("image", ["services", "training"])
def test_the_label_is_true(image: str, listed: dict[str, str]) -> None:
    found = licences_in(image, listed)
    assert len(found) > 60
    needed = {name for name, stated in ASKING_FOR_MORE.items() if any(re.search(stated, one) for one in found.values())}
    assert label_of(image) == needed | {"Apache-2.0", "LicenseRef-others-in-opt-nextclick-LICENCES"}


@pytest.mark.parametrize("image", ["services", "training"])
def test_no_package_of_an_image_has_a_licence_that_nobody_looked_at(image: str, listed: dict[str, str]) -> None:
    found = licences_in(image, listed)
    known = re.compile("|".join(ASKING_FOR_MORE.values()))
    asking = {name: one for name, one in found.items() if ANYTHING_ELSE.search(one) and not known.search(one)}
    assert asking == {}
    assert {name for name, one in found.items() if one == "not stated"} <= WITHOUT_A_STATEMENT


def test_the_guide_names_what_is_not_free(listed: dict[str, str]) -> None:
    guide = (PROJECT / "docs" / "DEPLOY.md").read_text()
    proprietary = {name for name, one in licences_in("training", listed).items() if "NVIDIA" in one}
    assert f"{len(proprietary)} packages of NVIDIA" in guide
