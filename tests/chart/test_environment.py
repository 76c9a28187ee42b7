"""The environment that the chart sets, against the settings that the processes read."""

import os
from collections.abc import Mapping
from pathlib import Path

import pytest
from pydantic_settings import BaseSettings

from feature_repo.settings import SharedSettings
from nextclick.stack.settings import StackSettings
from serving.settings import ServingSettings
from streaming.settings import StreamingSettings
from tests.chart.rendering import OURS, SCENARIOS, Object, containers, environment
from training.settings import TrainingSettings

SETTINGS: Mapping[str, tuple[type[BaseSettings], ...]] = {
    "gateway": (ServingSettings,),
    "streaming": (StreamingSettings,),
    "catalogue": (StreamingSettings,),
    "archive": (StreamingSettings,),
    # The command line looks for the parts of a local stack first, and finds what is set.
    "compaction": (StreamingSettings, StackSettings),
    "training": (TrainingSettings, StackSettings),
    "migration": (SharedSettings,),
}
IN_THE_COMMAND = {"JOB_NAME", "JOB_COMPLETION_INDEX"}
"""Of torchrun's arguments."""
SECRETS = {
    "REDIS_URL": "redis://redis:6379/0",
    "REDIS_USERNAME": "shop",
    "REDIS_PASSWORD": "secret",
    "REGISTRY_URL": "sqlite://",
    "ERASURE_KEY": "secret",
    "KAFKA_SASL_USERNAME": "shop",
    "KAFKA_SASL_PASSWORD": "secret",
    "KAFKA_OAUTH_TOKEN_URL": "https://login.example.com/token",
    "KAFKA_OAUTH_CLIENT_ID": "shop",
    "KAFKA_OAUTH_CLIENT_SECRET": "secret",
    "KAFKA_OAUTH_SCOPE": "events",
}


def ours(*scenarios: str) -> list[tuple[str, Object]]:
    return [(component, container) for component, container in containers(*scenarios) if component in OURS]


def fields(component: str) -> set[str]:
    return {field.upper() for settings in SETTINGS[component] for field in settings.model_fields}


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_a_process_gets_only_names_that_are_settings_of_its_own(scenario: str) -> None:
    for component, container in ours(scenario):
        unknown = environment(container).keys() - fields(component) - IN_THE_COMMAND
        assert not unknown, f"{component}: {unknown}"


def test_every_scenario_together_sets_each_secret_that_there_is() -> None:
    keys = {
        variable["valueFrom"]["secretKeyRef"]["key"]
        for _, container in ours()
        for variable in environment(container).values()
        if "secretKeyRef" in variable.get("valueFrom", {})
    }
    assert keys == SECRETS.keys()


def test_a_secret_is_never_a_value_but_a_key_of_the_same_name() -> None:
    for component, container in ours("gpu-production", "tls", "keda"):
        for name, variable in environment(container).items():
            if name in SECRETS:
                assert variable["valueFrom"]["secretKeyRef"]["key"] == name, component
                assert "value" not in variable


def test_a_process_gets_only_secrets_that_it_uses() -> None:
    kafka = {name for name in SECRETS if name.startswith("KAFKA_")}
    redis = {"REDIS_URL", "REDIS_USERNAME", "REDIS_PASSWORD"}
    allowed = {
        "gateway": redis,
        "streaming": {*kafka, *redis, "REGISTRY_URL", "ERASURE_KEY"},
        "catalogue": {*kafka, *redis, "REGISTRY_URL"},
        "archive": {*kafka, "ERASURE_KEY"},
        "compaction": {*kafka, "ERASURE_KEY"},
        "migration": {*redis, "REGISTRY_URL"},
        "training": set(),
    }
    for component, container in ours():
        secrets = {name for name, variable in environment(container).items() if "secretKeyRef" in str(variable)}
        assert secrets <= allowed[component], component


def test_credentials_of_object_storage_go_to_those_who_read_or_write_there() -> None:
    given = {component for component, container in containers("gpu-production") if "envFrom" in container}
    assert given == {"archive", "compaction", "training", "triton"}


def test_all_who_bring_the_registry_up_to_date_know_the_same_archive() -> None:
    """Its definitions name the archive: who knows another one would apply them anew, each time."""
    for scenario in SCENARIOS:
        known = {
            environment(container)["ARCHIVE_PATH"]["value"]
            for component, container in ours(scenario)
            if component != "gateway"
        }
        assert len(known) == 1, scenario


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_every_process_takes_the_settings_that_it_is_given(
    scenario: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The classes themselves judge them: TLS without its files, a login without its mechanism and so on."""
    there = tmp_path / "file.pem"
    there.touch()
    for component, container in ours(scenario):
        with monkeypatch.context() as patch:
            for name in [*os.environ]:
                if name in fields(component):
                    patch.delenv(name)
            variables = environment(container)
            patch.setitem(SECRETS, "REDIS_URL", f"redis{'s' * ('REDIS_CA_FILE' in variables)}://redis:6379/0")
            for name, variable in variables.items():
                value = SECRETS[name] if "secretKeyRef" in str(variable) else variable.get("value", "0")
                patch.setenv(name, str(there) if name.endswith("_FILE") else value)
            for settings in SETTINGS[component]:
                assert settings(), component


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_files_that_settings_name_lie_in_a_secret_that_is_mounted(scenario: str) -> None:
    named = 0
    for component, container in ours(scenario):
        mounts = [mount["mountPath"] for mount in container["volumeMounts"]]
        for name, variable in environment(container).items():
            if name.endswith("_FILE"):
                named += 1
                assert str(Path(variable["value"]).parent) in mounts, f"{component}: {name}"
    assert named > 0 or scenario in ("minimal", "keda", "embedded")


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_every_port_is_one_that_the_process_is_told_to_serve(scenario: str) -> None:
    for component, container in ours(scenario):
        told = {
            int(variable["value"])
            for name, variable in environment(container).items()
            if name in ("GATEWAY_PORT", "GATEWAY_METRICS_PORT", "METRICS_PORT")
        }
        told |= {int(word.partition("=")[2]) for word in container["command"] if word.startswith("--master-port=")}
        assert told == {port["containerPort"] for port in container.get("ports", [])}, component


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_folders_that_a_process_writes_to_are_volumes(scenario: str) -> None:
    for component, container in ours(scenario):
        mounts = {mount["mountPath"]: mount for mount in container["volumeMounts"]}
        variables = environment(container)
        assert variables["NEXTCLICK_HOME"]["value"] in mounts
        assert "/tmp" in mounts  # noqa: S108
        written = {
            "archive": ("ARCHIVE_PATH",),
            "compaction": ("ARCHIVE_PATH",),
            "training": ("RUNS_PATH", "MODEL_REPOSITORY"),
        }.get(component, ())
        for name in written:
            path = variables[name]["value"]
            assert "://" in path or not mounts[path].get("readOnly"), f"{component}: {name}"
