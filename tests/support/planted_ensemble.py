"""A small ensemble with known answers, for tests that need Triton but no training.

Of its 300 items it answers those that follow the session's newest one: item 7 → item 8, item 9, item 10 …
"""

import uuid
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import tritonclient.grpc as triton
from google.protobuf import text_format
from onnx import TensorProto, helper, numpy_helper
from tritonclient.grpc.model_config_pb2 import TYPE_BOOL, TYPE_FP32, TYPE_INT64, TYPE_STRING, ModelConfig

from feature_repo.schema import (
    FIRST_INDEX,
    MAX_CANDIDATES,
    MAX_SESSION_LENGTH,
    OUT_OF_VOCABULARY_INDEX,
    PADDING_INDEX,
    PADDING_ITEM_ID,
    VOCABULARY_HASH_PARAMETER,
    Tensor,
)

ITEMS = [f"item {number}" for number in range(300)]
DIGEST = "abc"

WIDTH, COUNT = MAX_SESSION_LENGTH, MAX_CANDIDATES
TRITON_TYPES = {
    TensorProto.STRING: TYPE_STRING,
    TensorProto.INT64: TYPE_INT64,
    TensorProto.BOOL: TYPE_BOOL,
    TensorProto.FLOAT: TYPE_FP32,
}

TensorSpec = tuple[str, int, int]
"""Name, ONNX data type, width of a row."""

ITEM_IDS = (Tensor.ITEM_IDS, TensorProto.STRING, WIDTH)
EVENT_TYPES = (Tensor.EVENT_TYPES, TensorProto.STRING, WIDTH)
TIMESTAMPS = (Tensor.TIMESTAMPS_MS, TensorProto.INT64, WIDTH)
EXCLUDE_SEEN = (Tensor.EXCLUDE_SEEN, TensorProto.BOOL, 1)
CANDIDATE_INDEX = (Tensor.CANDIDATE_INDEX, TensorProto.INT64, COUNT)
CANDIDATES = (Tensor.CANDIDATE_ITEM_IDS, TensorProto.STRING, COUNT)
SCORES = (Tensor.CANDIDATE_SCORES, TensorProto.FLOAT, COUNT)
INPUTS = [ITEM_IDS, EVENT_TYPES, TIMESTAMPS, EXCLUDE_SEEN]


class PlantedEnsemble:
    """Writes versions of the planted ensemble under a name of its own and has Triton load them."""

    def __init__(self, stack: Any) -> None:
        self.name = f"planted_{uuid.uuid4().hex[:8]}"
        self._repository: Path = stack.model_repository
        self._client = triton.InferenceServerClient(stack.triton_grpc_url)

    def export(self, version: int = 1, step: int = 1, digest: str = DIGEST, width: int = WIDTH) -> None:
        """Write one version and have it served. From item n, item n + `step` is the best.

        With another `digest`, the last model is of another vocabulary than the rest; with another `width`, the
        timestamps are.
        """
        rank, name = f"{self.name}_rank", f"{self.name}_names"
        timestamps = (*TIMESTAMPS[:2], width)
        self._write(rank, version, DIGEST, ranking_graph(step, timestamps))
        self._write(name, version, digest, naming_graph())
        ensemble = ModelConfig(name=self.name, platform="ensemble", max_batch_size=8)
        add_tensors(ensemble.input, [ITEM_IDS, EVENT_TYPES, timestamps, EXCLUDE_SEEN])
        add_tensors(ensemble.output, [CANDIDATES, SCORES])
        ensemble.parameters[VOCABULARY_HASH_PARAMETER].string_value = DIGEST
        add_step(ensemble, rank, version, INPUTS, [CANDIDATE_INDEX, SCORES])
        add_step(ensemble, name, version, [CANDIDATE_INDEX], [CANDIDATES])
        self._save(ensemble, version)
        self._client.load_model(self.name)

    def close(self) -> None:
        self._client.unload_model(self.name, unload_dependents=True)
        self._client.close()

    def _write(self, name: str, version: int, digest: str, graph: onnx.GraphProto) -> None:
        config = ModelConfig(name=name, backend="onnxruntime", max_batch_size=8)
        add_tensors(config.input, [shape_of(value) for value in graph.input])
        add_tensors(config.output, [shape_of(value) for value in graph.output])
        config.parameters[VOCABULARY_HASH_PARAMETER].string_value = digest
        config.version_policy.latest.num_versions = 2
        self._save(config, version)
        opsets = [helper.make_opsetid("", 17), helper.make_opsetid("ai.onnx.ml", 3)]
        model = helper.make_model(graph, opset_imports=opsets, ir_version=8)
        onnx.save(model, self._repository / name / str(version) / "model.onnx")

    def _save(self, config: ModelConfig, version: int) -> None:
        folder = self._repository / config.name
        (folder / str(version)).mkdir(parents=True)
        (folder / "config.pbtxt").write_text(text_format.MessageToString(config))


def add_tensors(fields: Any, tensors: list[TensorSpec]) -> None:
    for name, data_type, width in tensors:
        fields.add(name=name, data_type=TRITON_TYPES[data_type], dims=[width])


def add_step(
    ensemble: ModelConfig, model: str, version: int, inputs: list[TensorSpec], outputs: list[TensorSpec]
) -> None:
    step = ensemble.ensemble_scheduling.step.add(model_name=model, model_version=version)
    step.input_map.update({name: name for name, *_ in inputs})
    step.output_map.update({name: name for name, *_ in outputs})


def shape_of(value: onnx.ValueInfoProto) -> TensorSpec:
    return value.name, value.type.tensor_type.elem_type, value.type.tensor_type.shape.dim[1].dim_value


def graph_of(
    nodes: list[Any], inputs: list[TensorSpec], outputs: list[TensorSpec], **constants: np.ndarray
) -> onnx.GraphProto:
    def infos(tensors: list[TensorSpec]) -> list[Any]:
        return [helper.make_tensor_value_info(name, kind, ["B", width]) for name, kind, width in tensors]

    initializers = [numpy_helper.from_array(value, name) for name, value in constants.items()]
    return helper.make_graph(nodes, "planted", infos(inputs), infos(outputs), initializers)


def ranking_graph(step: int, timestamps: TensorSpec) -> onnx.GraphProto:
    """item_ids → places of the items after the newest one, cyclically; seen ones get a score of -1000."""
    last = FIRST_INDEX + len(ITEMS)
    nodes = [
        helper.make_node(
            "LabelEncoder",
            [Tensor.ITEM_IDS],
            ["index"],
            domain="ai.onnx.ml",
            keys_strings=[PADDING_ITEM_ID, *ITEMS],
            values_int64s=[PADDING_INDEX, *range(FIRST_INDEX, last)],
            default_int64=OUT_OF_VOCABULARY_INDEX,
        ),
        helper.make_node("Gather", ["index", "newest_column"], ["newest"], axis=1),
        helper.make_node("Sub", ["catalogue", "newest"], ["ahead"]),
        helper.make_node("Sub", ["ahead", "step"], ["distance"]),
        helper.make_node("Mod", ["distance", "count"], ["cyclic"]),
        helper.make_node("Unsqueeze", ["index", "last_axis"], ["index_BT1"]),
        helper.make_node("Equal", ["index_BT1", "catalogue_11V"], ["is_item"]),
        helper.make_node("Cast", ["is_item"], ["is_item_f"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMax", ["is_item_f"], ["seen"], axes=[1], keepdims=0),
        helper.make_node("Cast", [Tensor.EXCLUDE_SEEN], ["exclude_f"], to=TensorProto.FLOAT),
        helper.make_node("Mul", ["seen", "exclude_f"], ["masked"]),
        helper.make_node("Mul", ["masked", "penalty"], ["penalties"]),
        helper.make_node("Cast", ["cyclic"], ["cyclic_f"], to=TensorProto.FLOAT),
        helper.make_node("Neg", ["cyclic_f"], ["nearness"]),
        helper.make_node("Sub", ["nearness", "penalties"], ["scores"]),
        helper.make_node("TopK", ["scores", "k"], [Tensor.CANDIDATE_SCORES, "place"], axis=1),
        helper.make_node("Add", ["place", "first"], [Tensor.CANDIDATE_INDEX]),
    ]
    catalogue = np.arange(FIRST_INDEX, last, dtype=np.int64)
    return graph_of(
        nodes,
        [ITEM_IDS, EVENT_TYPES, timestamps, EXCLUDE_SEEN],
        [CANDIDATE_INDEX, SCORES],
        newest_column=np.array([WIDTH - 1]),
        catalogue=catalogue[None, :],
        catalogue_11V=catalogue[None, None, :],
        step=np.array([[step]]),
        count=np.array([[len(ITEMS)]]),
        last_axis=np.array([2]),
        penalty=np.array([[1000.0]], dtype=np.float32),
        k=np.array([COUNT]),
        first=np.array([[FIRST_INDEX]]),
    )


def naming_graph() -> onnx.GraphProto:
    """Places → item ids."""
    node = helper.make_node(
        "LabelEncoder",
        [Tensor.CANDIDATE_INDEX],
        [Tensor.CANDIDATE_ITEM_IDS],
        domain="ai.onnx.ml",
        keys_int64s=[PADDING_INDEX, *range(FIRST_INDEX, FIRST_INDEX + len(ITEMS))],
        values_strings=[PADDING_ITEM_ID, *ITEMS],
        default_string=PADDING_ITEM_ID,
    )
    return graph_of([node], [CANDIDATE_INDEX], [CANDIDATES])
