"""The chart as real Helm renders it: objects of a scenario of `helm/ci`, each rendered once a session."""

import functools
import json
import shutil
import subprocess
from collections.abc import Iterator
from typing import Any

import yaml

from tests.cluster.tools import NoToolsError, find, found_or_skipped
from tests.support.project import PROJECT

CHART = PROJECT / "helm"
SCENARIOS = ("minimal", "gpu-production", "tls", "keda", "embedded")
OURS = ("gateway", "streaming", "catalogue", "archive", "compaction", "migration", "training")
"""Components whose code is in this repository."""
COMPONENT = "app.kubernetes.io/component"
KUBERNETES = "1.33.0"
RENDER_SECONDS = 60

Object = dict[str, Any]


def helm(*arguments: str) -> "subprocess.CompletedProcess[str]":
    """Run Helm; the test is skipped where there is none."""
    command = [_helm(), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=RENDER_SECONDS, check=False)


def template(scenario: str, *settings: str, check_values: bool = True) -> "subprocess.CompletedProcess[str]":
    """What `helm template` makes of a scenario and of `settings` such as `gateway.replicas=3`."""
    more = [argument for setting in settings for argument in ("--set-json", _json_setting(setting))]
    values = ["--values", str(CHART / "ci" / f"{scenario}-values.yaml")] if scenario else []
    unchecked = [] if check_values else ["--skip-schema-validation"]
    return helm("template", "shop", str(CHART), f"--kube-version={KUBERNETES}", *values, *more, *unchecked)


@functools.cache
def objects(scenario: str, *settings: str) -> list[Object]:
    """The objects, parsed; hooks are among them. Do not change them: they are shared by all tests."""
    done = template(scenario, *settings)
    assert done.returncode == 0, done.stderr
    return [item for item in yaml.load_all(done.stdout, _Loader) if item]


def refusal(*settings: str, scenario: str = "") -> str:
    """What Helm says of values that it refuses."""
    done = template(scenario, *settings)
    assert done.returncode != 0, f"nothing refuses {settings}"
    return done.stderr


def of(scenario: str, kind: str, component: str, *settings: str) -> Object:
    """The one object of a kind that a component has."""
    found = [item for item in of_component(scenario, component, *settings) if item["kind"] == kind]
    assert len(found) == 1, f"{len(found)} objects of {kind} {component}"
    return found[0]


def of_kind(scenario: str, kind: str, *settings: str) -> list[Object]:
    """Every object of a kind."""
    return [item for item in objects(scenario, *settings) if item["kind"] == kind]


def of_component(scenario: str, component: str, *settings: str) -> list[Object]:
    """Every object of a component."""
    return [item for item in objects(scenario, *settings) if item["metadata"]["labels"][COMPONENT] == component]


def pod(scenario: str, component: str, *settings: str, kind: str = "Deployment") -> Object:
    """The spec of a component's pods."""
    spec = of(scenario, kind, component, *settings)["spec"]
    return spec.get("jobTemplate", {}).get("spec", spec)["template"]["spec"]


def container(scenario: str, component: str, *settings: str, kind: str = "Deployment") -> Object:
    """The one container of a component's pods."""
    [only] = pod(scenario, component, *settings, kind=kind)["containers"]
    return only


def pod_templates(*scenarios: str) -> Iterator[tuple[str, Object]]:
    """Every pod of the scenarios, with the name of its component."""
    for scenario in scenarios or SCENARIOS:
        yield from pods_among(objects(scenario))


def pods_among(rendered: list[Object]) -> Iterator[tuple[str, Object]]:
    """Every pod that the objects describe, with the name of its component."""
    for item in rendered:
        spec = item.get("spec", {})
        spec = spec.get("jobTemplate", item).get("spec", spec)
        if "template" in spec and item["kind"] in ("Deployment", "Job", "CronJob"):
            yield item["metadata"]["labels"][COMPONENT], spec["template"]


def containers(*scenarios: str) -> Iterator[tuple[str, Object]]:
    """Every container of the scenarios, with the name of its component."""
    for component, template_of_pod in pod_templates(*scenarios):
        for each in template_of_pod["spec"]["containers"]:
            yield component, each


def environment(of_container: Object) -> dict[str, Object]:
    """The container's variables by name."""
    variables = of_container.get("env", [])
    named = {variable["name"]: variable for variable in variables}
    assert len(named) == len(variables), "a variable is set twice"
    return named


@functools.cache
def _helm() -> str:
    try:
        return str(find().helm)
    except NoToolsError:
        return _other_helm()


def _other_helm() -> str:
    return shutil.which("helm") or str(found_or_skipped().helm)


def _json_setting(setting: str) -> str:
    """`a.b=text` as JSON wants it; what is JSON already stays."""
    name, _, value = setting.partition("=")
    try:
        json.loads(value)
    except ValueError:
        value = json.dumps(value)
    return f"{name}={value}"


class _Loader(yaml.SafeLoader):
    """Refuses keys that stand twice in one object, which YAML forbids and PyYAML lets pass."""


def _mapping(loader: _Loader, node: yaml.MappingNode) -> Object:
    keys = [key.value for key, _ in node.value]
    assert len(keys) == len(set(keys)), f"a key stands twice: {keys}"
    return loader.construct_mapping(node, deep=True)


_Loader.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, _mapping)
