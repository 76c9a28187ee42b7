"""A model built for something else is told by its configuration alone."""

import pytest
from tritonclient.grpc.model_config_pb2 import TYPE_BOOL, TYPE_FP32, TYPE_INT64, TYPE_STRING, ModelConfig

from feature_repo.schema import MAX_CANDIDATES, MAX_SESSION_LENGTH, VOCABULARY_HASH_PARAMETER, Tensor
from serving.triton.compatibility import find_mismatches
from training.export.triton_config import VersionSpec, ensemble_config, inner_config


def model(name: str, digest: str | None = "abc") -> ModelConfig:
    config = ModelConfig(name=name)
    if digest is not None:
        config.parameters[VOCABULARY_HASH_PARAMETER].string_value = digest
    return config


def ensemble(digest: str | None = "abc") -> ModelConfig:
    config = model("session_recommender", digest)
    config.input.add(name=Tensor.ITEM_IDS, data_type=TYPE_STRING, dims=[MAX_SESSION_LENGTH])
    config.input.add(name=Tensor.EVENT_TYPES, data_type=TYPE_STRING, dims=[MAX_SESSION_LENGTH])
    config.input.add(name=Tensor.TIMESTAMPS_MS, data_type=TYPE_INT64, dims=[MAX_SESSION_LENGTH])
    config.input.add(name=Tensor.EXCLUDE_SEEN, data_type=TYPE_BOOL, dims=[1])
    config.output.add(name=Tensor.CANDIDATE_ITEM_IDS, data_type=TYPE_STRING, dims=[MAX_CANDIDATES])
    config.output.add(name=Tensor.CANDIDATE_SCORES, data_type=TYPE_FP32, dims=[MAX_CANDIDATES])
    return config


def test_a_fitting_ensemble_has_no_mismatch() -> None:
    assert find_mismatches(ensemble(), [model("preprocess"), model("postprocess")]) == []


def test_what_training_exports_fits() -> None:
    spec = VersionSpec(version=3, vocabulary_sha256="abc")
    exported = ensemble_config(spec)
    steps = [inner_config(step.model_name, spec) for step in exported.ensemble_scheduling.step]
    assert len(steps) == 3
    assert find_mismatches(exported, steps) == []


def test_another_session_length_is_named_with_both_shapes() -> None:
    config = ensemble()
    config.input[0].dims[:] = [20]
    assert find_mismatches(config, []) == ["input item_ids is TYPE_STRING [20], expected TYPE_STRING [50]"]


def test_another_candidate_count_and_data_type_are_named() -> None:
    config = ensemble()
    config.output[0].dims[:] = [100]
    config.output[1].data_type = TYPE_INT64
    assert find_mismatches(config, []) == [
        "output candidate_item_ids is TYPE_STRING [100], expected TYPE_STRING [200]",
        "output candidate_scores is TYPE_INT64 [200], expected TYPE_FP32 [200]",
    ]


def test_an_absent_and_an_unknown_input_are_named_but_another_output_is_welcome() -> None:
    config = ensemble()
    config.input[3].name = "mood"
    config.output.add(name="explanation", data_type=TYPE_STRING, dims=[1])
    assert find_mismatches(config, []) == [
        "input exclude_seen is absent, expected TYPE_BOOL [1]",
        "input mood is TYPE_BOOL [1], expected no such tensor",
    ]


def test_models_of_different_vocabularies_do_not_fit() -> None:
    problems = find_mismatches(ensemble("abc"), [model("preprocess", "abc"), model("postprocess", "def")])
    assert len(problems) == 1
    assert "different vocabularies" in problems[0]
    assert "postprocess def" in problems[0]


@pytest.mark.parametrize("digest", [None, ""])
def test_a_model_without_the_hash_is_named(digest: str | None) -> None:
    problems = find_mismatches(ensemble(), [model("preprocess", digest)])
    assert problems == ["preprocess has no parameter vocabulary_sha256"]
