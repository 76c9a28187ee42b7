"""Writes a run's model as a new version of the Triton ensemble, checked first, visible only once it is whole."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import onnxruntime
import torch

from feature_repo.schema import POSTPROCESS, PREPROCESS, SESSION_TRANSFORMER
from training.errors import ExportError
from training.export.model_repository import ModelRepository, open_repository, superseded
from training.export.transformer_onnx import INPUTS, Scorer, example_inputs, transformer_graph
from training.export.triton_config import ALL_MODELS, VersionSpec, all_configs, to_pbtxt
from training.export.workflow_onnx import postprocess_graph, preprocess_graph
from training.runs import Run, load_model, open_run
from training.settings import TrainingSettings

if TYPE_CHECKING:
    import onnx

MODEL_FILE = "model.onnx"
KEPT_VERSIONS = 3
TOLERANCE = 1e-4
"""Largest accepted difference between a score from onnxruntime and from torch."""
PARITY_ROWS = 64


@dataclass(frozen=True, slots=True)
class ExportedVersion:
    """A version of all four models under `model_repository`."""

    version: int
    run_name: str
    vocabulary_sha256: str
    model_repository: Path | str


def export(settings: TrainingSettings, run_name: str | None = None) -> ExportedVersion:
    """Write the next version of preprocess, session_transformer, postprocess and session_recommender.

    The ensemble's config.pbtxt is replaced last: until then a server that loads it gets the version before.
    Raises RunError without a finished run, ExportError when onnxruntime and torch disagree, or when another export
    writes at the same time: the one of the higher version is what stays.
    """
    run = open_run(settings, run_name)
    graphs = build_graphs(run)
    repository = open_repository(settings.model_repository)
    version, vocabulary_sha256 = next_version(repository), run.vocabulary.sha256
    spec = VersionSpec(version, vocabulary_sha256, settings.triton_device, settings.triton_instances)
    for name, config in all_configs(spec).items():
        repository.add_version(name, version, _files(graphs.get(name)))
        if (newest := repository.versions(name)[-1]) > version:
            raise superseded(version, newest)
        repository.write_config(name, to_pbtxt(config))
    _prune(repository)
    return ExportedVersion(version, run.name, vocabulary_sha256, settings.model_repository)


def build_graphs(run: Run) -> dict[str, "onnx.ModelProto"]:
    """The ONNX graph of each inner model, the transformer's checked against torch."""
    vocabulary = run.vocabulary
    sizes = vocabulary.item_count, vocabulary.event_type_count, vocabulary.gap_bucket_count
    scorer = Scorer(load_model(run)).eval()
    graph = transformer_graph(scorer, sizes)
    check_parity(graph, scorer, sizes)
    return {
        PREPROCESS: preprocess_graph(vocabulary),
        SESSION_TRANSFORMER: graph,
        POSTPROCESS: postprocess_graph(vocabulary),
    }


def check_parity(graph: "onnx.ModelProto", scorer: Scorer, vocabulary_sizes: tuple[int, int, int]) -> None:
    """Raises ExportError unless both give the same scores, and each other's candidates, on rows of every length."""
    arguments = example_inputs(vocabulary_sizes, PARITY_ROWS)
    with torch.inference_mode():
        expected_index_BK, expected_BK = (output.numpy() for output in scorer(*arguments))
    session = onnxruntime.InferenceSession(graph.SerializeToString(), providers=["CPUExecutionProvider"])
    feed = {name.value: tensor.numpy() for name, tensor in zip(INPUTS, arguments, strict=True)}
    index_BK, scores_BK = session.run(None, feed)
    same_scores = np.allclose(scores_BK, expected_BK, rtol=0, atol=TOLERANCE)
    # Items of nearly equal score may change places; anything else is another answer.
    swapped = index_BK != expected_index_BK
    gaps_BK = np.abs(np.diff(np.where(np.isfinite(expected_BK), expected_BK, 0.0), axis=1, append=0.0))
    near_BK = (gaps_BK < TOLERANCE) | np.roll(gaps_BK < TOLERANCE, 1, axis=1)
    if not same_scores or (swapped & ~near_BK).any():
        raise ExportError("the exported graph and the trained model disagree: nothing was published")


def next_version(repository: ModelRepository) -> int:
    """One more than the highest version of any of the four models, so that all can have the same."""
    return 1 + max((version for name in ALL_MODELS for version in repository.versions(name)), default=0)


def _files(graph: "onnx.ModelProto | None") -> dict[str, bytes]:
    """What lies in a version's folder; nothing in an ensemble's."""
    return {} if graph is None else {MODEL_FILE: graph.SerializeToString(deterministic=True)}


def _prune(repository: ModelRepository) -> None:
    """Keep the newest KEPT_VERSIONS of each model."""
    for name in ALL_MODELS:
        for version in repository.versions(name)[:-KEPT_VERSIONS]:
            repository.remove_version(name, version)
