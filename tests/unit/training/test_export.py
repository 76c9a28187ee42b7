"""Exports are whole or absent, numbered together, checked against torch, and say what torch says."""

import copy
import shutil
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from tritonclient.grpc import model_config_pb2 as pb

from feature_repo.schema import (
    ENSEMBLE,
    FIRST_INDEX,
    MAX_CANDIDATES,
    MAX_SESSION_LENGTH,
    PADDING_INDEX,
    POSTPROCESS,
    PREPROCESS,
    SESSION_TRANSFORMER,
    Tensor,
)
from tests.support.planted_sessions import RING, next_on_ring, planted_settings
from tests.support.project import PROJECT
from training.config import ModelConfig
from training.data.vocabulary import Vocabulary
from training.errors import ExportError
from training.export.ensemble import KEPT_VERSIONS, ExportedVersion, check_parity, export
from training.export.transformer_onnx import INPUTS, Scorer, example_inputs, transformer_graph
from training.export.triton_config import ALL_MODELS, INNER_MODELS, from_pbtxt
from training.models.session_transformer import SessionTransformer
from training.runs import open_run
from training.settings import TrainingSettings


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> TrainingSettings:
    return planted_settings(tmp_path_factory)


@pytest.fixture(scope="module")
def exported(settings: TrainingSettings, tmp_path_factory: pytest.TempPathFactory) -> ExportedVersion:
    return export(settings.model_copy(update={"model_repository": tmp_path_factory.mktemp("repository")}))


def load_graph(exported: ExportedVersion, name: str) -> onnxruntime.InferenceSession:
    path = exported.model_repository / name / str(exported.version) / "model.onnx"
    return onnxruntime.InferenceSession(path)


def test_exported_chain_finds_the_planted_item(exported: ExportedVersion) -> None:
    history = [RING[3], RING[5], RING[7]]
    item_ids, types = np.full((1, MAX_SESSION_LENGTH), "", object), np.full((1, MAX_SESSION_LENGTH), "", object)
    times = np.zeros((1, MAX_SESSION_LENGTH), np.int64)
    item_ids[0, -3:], types[0, -3:], times[0, -3:] = history, "view", 1_700_000_000_000 + np.arange(3) * 2000
    rows = {Tensor.ITEM_IDS: item_ids, Tensor.EVENT_TYPES: types, Tensor.TIMESTAMPS_MS: times}
    preprocess, transformer, postprocess = (
        load_graph(exported, name) for name in (PREPROCESS, SESSION_TRANSFORMER, POSTPROCESS)
    )
    indices = dict(zip(INPUTS, preprocess.run(list(INPUTS[:3]), rows), strict=False))
    indices[Tensor.EXCLUDE_SEEN] = np.array([[True]])
    (candidates,) = transformer.run([Tensor.CANDIDATE_INDEX], indices)
    (answer,) = postprocess.run(None, {Tensor.CANDIDATE_INDEX: candidates})
    assert answer[0, 0] == next_on_ring(history)


ONNX_TYPES = {
    pb.TYPE_STRING: "tensor(string)",
    pb.TYPE_INT64: "tensor(int64)",
    pb.TYPE_BOOL: "tensor(bool)",
    pb.TYPE_FP32: "tensor(float)",
}


@pytest.mark.parametrize("name", INNER_MODELS)
def test_a_graph_takes_and_gives_what_its_configuration_says(exported: ExportedVersion, name: str) -> None:
    graph = load_graph(exported, name)
    config = from_pbtxt((exported.model_repository / name / "config.pbtxt").read_text())
    for tensors, configured in ((graph.get_inputs(), config.input), (graph.get_outputs(), config.output)):
        assert [(tensor.name, tensor.type, tensor.shape[1:]) for tensor in tensors] == [
            (tensor.name, ONNX_TYPES[tensor.data_type], list(tensor.dims)) for tensor in configured
        ]


def test_all_four_models_share_version_and_vocabulary(exported: ExportedVersion, settings: TrainingSettings) -> None:
    assert exported.vocabulary_sha256 == open_run(settings).vocabulary.sha256
    for name in ALL_MODELS:
        folder = exported.model_repository / name
        assert from_pbtxt((folder / "config.pbtxt").read_text()).name == name
        assert {path.name for path in folder.iterdir()} == {"config.pbtxt", str(exported.version)}


def test_graphs_hold_no_trace_of_this_machine(exported: ExportedVersion) -> None:
    for path in exported.model_repository.glob("*/*/model.onnx"):
        assert str(PROJECT).encode() not in path.read_bytes()
        onnx.checker.check_model(onnx.load(path), full_check=True)


def test_versions_count_up_and_old_ones_go(
    settings: TrainingSettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = settings.model_copy(update={"model_repository": tmp_path})
    monkeypatch.setattr(
        "training.export.ensemble.build_graphs", lambda run: {}
    )  # what is in the folders does not matter here
    (tmp_path / PREPROCESS / "4").mkdir(parents=True)  # left by an export that was cut short
    versions = [export(settings).version for _ in range(KEPT_VERSIONS + 1)]
    assert versions == [5, 6, 7, 8]
    for name in ALL_MODELS:
        assert {path.name for path in (tmp_path / name).iterdir() if path.is_dir()} == {"6", "7", "8"}


def test_the_settings_say_where_triton_runs_it_and_how_often(
    settings: TrainingSettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("training.export.ensemble.build_graphs", lambda run: {})  # only the configuration matters here
    monkeypatch.setenv("TRITON_DEVICE", "gpu")
    monkeypatch.setenv("TRITON_INSTANCES", "2")
    export(TrainingSettings(nextclick_home=settings.nextclick_home, model_repository=tmp_path))
    (group,) = from_pbtxt((tmp_path / SESSION_TRANSFORMER / "config.pbtxt").read_text()).instance_group
    assert (group.count, group.kind) == (2, pb.ModelInstanceGroup.KIND_GPU)


def test_an_export_that_fails_leaves_the_ensemble_as_it_was(
    settings: TrainingSettings, exported: ExportedVersion, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(exported.model_repository, tmp_path, dirs_exist_ok=True)
    before = (tmp_path / ENSEMBLE / "config.pbtxt").read_bytes()
    monkeypatch.setattr("training.export.ensemble.postprocess_graph", lambda vocabulary: "not a graph")
    with pytest.raises(AttributeError):
        export(settings.model_copy(update={"model_repository": tmp_path}))
    assert (tmp_path / ENSEMBLE / "config.pbtxt").read_bytes() == before
    assert not (tmp_path / ENSEMBLE / str(exported.version + 1)).exists()


# --- the transformer's graph, for catalogues smaller and larger than the answer -----------------------------------


def untrained(items: int) -> tuple[Scorer, tuple[int, int, int]]:
    torch.manual_seed(items)
    vocabulary = Vocabulary(tuple(map(str, range(items))), ("view",), ("x",), (0, 1000))
    model = SessionTransformer(vocabulary, ModelConfig(width=8, blocks=2, heads=2))
    torch.nn.init.normal_(model.items.item_embedding.weight)
    return Scorer(model).eval(), (vocabulary.item_count, vocabulary.event_type_count, vocabulary.gap_bucket_count)


@pytest.fixture(scope="module")
def large() -> tuple[Scorer, tuple[int, int, int], onnx.ModelProto]:
    scorer, sizes = untrained(items=500)
    return scorer, sizes, transformer_graph(scorer, sizes)


@pytest.mark.parametrize("rows", [1, 3, 64])
def test_graph_equals_torch_for_any_number_of_rows(
    large: tuple[Scorer, tuple[int, int, int], onnx.ModelProto], rows: int
) -> None:
    scorer, sizes, graph = large
    arguments = example_inputs(sizes, rows, seed=rows)
    feed = {name: tensor.numpy() for name, tensor in zip(INPUTS, arguments, strict=True)}
    index, scores = onnxruntime.InferenceSession(graph.SerializeToString()).run(None, feed)
    assert index.shape == scores.shape == (rows, MAX_CANDIDATES)
    with torch.inference_mode():
        np.testing.assert_allclose(scores, scorer(*arguments)[1].numpy(), rtol=0, atol=1e-5)
    assert index.min() >= FIRST_INDEX
    seen = feed[Tensor.ITEM_INDEX]
    for row in range(0, rows, 2):  # every other row excludes what it has seen
        assert not set(index[row]) & set(seen[row])


def test_graph_of_another_model_is_refused(large: tuple[Scorer, tuple[int, int, int], onnx.ModelProto]) -> None:
    scorer, sizes, graph = large
    check_parity(graph, scorer, sizes)
    other = copy.deepcopy(scorer)
    other.item_VD[17] *= 1.1
    with pytest.raises(ExportError, match="disagree"):
        check_parity(graph, other, sizes)


def test_small_catalogue_runs_out_of_candidates() -> None:
    scorer, sizes = untrained(items=4)
    with torch.inference_mode():
        index, scores = scorer(*example_inputs(sizes, rows=2))
    assert (index[:, 4:] == PADDING_INDEX).all()
    assert torch.isneginf(scores[:, 4:]).all()
    assert sorted(index[0, :4].tolist()) == [3, 4, 5, 6]
