"""The version stands in several files, and images, package and chart have to agree on it."""

import re
import tomllib

import pytest
import yaml

from tests.support.project import PROJECT

VERSION = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]["version"]


@pytest.mark.parametrize("image", ["services", "training"])
def test_an_image_has_the_version_of_the_package(image: str) -> None:
    dockerfile = (PROJECT / "images" / f"{image}.Dockerfile").read_text()
    assert re.findall(r"^ARG VERSION=(\S*)$", dockerfile, re.MULTILINE) == [VERSION]


def test_the_chart_takes_the_images_of_the_package_unless_told_otherwise() -> None:
    assert yaml.safe_load((PROJECT / "helm" / "Chart.yaml").read_text())["appVersion"] == VERSION


def test_the_guide_builds_and_installs_that_version() -> None:
    guide = (PROJECT / "docs" / "DEPLOY.md").read_text()
    tags = re.findall(r"(?:/nextclick(?:-training)?:|, tag: )([\w.]+)", guide)
    assert set(tags) == {VERSION}
