"""Every config.pbtxt parses back to what it was written from, and agrees with its neighbours."""

import re
from pathlib import Path

import pytest
from tritonclient.grpc import model_config_pb2 as pb

from feature_repo.schema import (
    ENSEMBLE,
    MAX_CANDIDATES,
    MAX_SESSION_LENGTH,
    SESSION_TRANSFORMER,
    VOCABULARY_HASH_PARAMETER,
)
from training.export.readme_table import README, main, refreshed_readme
from training.export.triton_config import ALL_MODELS, INNER_MODELS, VersionSpec, all_configs, from_pbtxt, to_pbtxt

SPEC = VersionSpec(version=7, vocabulary_sha256="ab" * 32)
CONFIGS = all_configs(SPEC)


@pytest.mark.parametrize("name", ALL_MODELS)
def test_text_parses_back(name: str) -> None:
    text = to_pbtxt(CONFIGS[name])
    assert "DO NOT EDIT" in text.splitlines()[0]
    parsed = from_pbtxt(text)
    assert parsed == CONFIGS[name]
    assert parsed.name == name
    assert parsed.max_batch_size > 0
    assert parsed.parameters[VOCABULARY_HASH_PARAMETER].string_value == SPEC.vocabulary_sha256


@pytest.mark.parametrize("name", INNER_MODELS)
def test_inner_models_batch_dynamically_and_warm_up(name: str) -> None:
    config = CONFIGS[name]
    assert config.backend == "onnxruntime"
    assert config.HasField("dynamic_batching")
    assert {warmup.batch_size for warmup in config.model_warmup} >= {1, config.max_batch_size}
    for warmup in config.model_warmup:
        assert {(key, tuple(value.dims)) for key, value in warmup.inputs.items()} == {
            (tensor.name, tuple(tensor.dims)) for tensor in config.input
        }


def test_ensemble_pins_the_version_of_every_step() -> None:
    steps = CONFIGS[ENSEMBLE].ensemble_scheduling.step
    assert [(step.model_name, step.model_version) for step in steps] == [(name, 7) for name in INNER_MODELS]
    assert list(CONFIGS[ENSEMBLE].version_policy.specific.versions) == [7]


def test_every_tensor_of_the_ensemble_is_made_before_it_is_used() -> None:

    def spec(tensor: pb.ModelInput | pb.ModelOutput) -> tuple[int, list[int]]:
        return tensor.data_type, list(tensor.dims)

    known = {tensor.name: spec(tensor) for tensor in CONFIGS[ENSEMBLE].input}
    for step in CONFIGS[ENSEMBLE].ensemble_scheduling.step:
        inner = CONFIGS[step.model_name]
        for tensor in inner.input:
            assert known[step.input_map[tensor.name]] == spec(tensor)
        known |= {step.output_map[tensor.name]: spec(tensor) for tensor in inner.output}
    assert all(known[tensor.name] == spec(tensor) for tensor in CONFIGS[ENSEMBLE].output)


def test_widths_are_those_of_the_schema() -> None:
    dims = {dim for config in CONFIGS.values() for tensor in (*config.input, *config.output) for dim in tensor.dims}
    assert dims == {1, MAX_SESSION_LENGTH, MAX_CANDIDATES}


def test_only_the_transformer_moves_to_the_gpu() -> None:
    on_gpu = all_configs(VersionSpec(1, "", device="gpu"))
    kinds = {name: on_gpu[name].instance_group[0].kind for name in INNER_MODELS}
    assert kinds.pop(SESSION_TRANSFORMER) == pb.ModelInstanceGroup.KIND_GPU
    assert set(kinds.values()) == {pb.ModelInstanceGroup.KIND_CPU}


def test_the_number_of_instances_is_the_transformers_alone() -> None:
    for device in ("cpu", "gpu"):
        configs = all_configs(VersionSpec(1, "", device=device, instances=3))
        counts = {name: [group.count for group in configs[name].instance_group] for name in ALL_MODELS}
        assert counts.pop(SESSION_TRANSFORMER) == [3]
        assert counts.pop(ENSEMBLE) == []
        assert set(map(tuple, counts.values())) == {(1,)}


def test_readme_table_is_fresh_and_staleness_is_noticed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert main(["--check"]) == 0
    stale = tmp_path / "README.md"
    stale.write_text(re.sub("B × 50", "B × 49", README.read_text()))
    monkeypatch.setattr("training.export.readme_table.README", stale)
    assert main(["--check"]) == 1
    assert main(["--write"]) == 0
    assert stale.read_text() == README.read_text() == refreshed_readme(README.read_text())
