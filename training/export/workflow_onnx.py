"""The per-event part of the fitted NVTabular workflow as ONNX: strings and times in, indices out, and back again.

One `workflow.transform` of a few rows costs milliseconds; these graphs compute the same values in microseconds.
"""

import numpy as np
import onnx
from onnx import TensorProto, helper

from feature_repo.schema import (
    FIRST_INDEX,
    MAX_SESSION_LENGTH,
    OUT_OF_VOCABULARY_INDEX,
    PADDING_INDEX,
    PADDING_ITEM_ID,
    POSTPROCESS,
    PREPROCESS,
    SIGNATURES,
    TENSORS,
    Tensor,
    TensorType,
)
from training.data.vocabulary import Vocabulary

OPSET = 18
ML_OPSET = 3
IR_VERSION = 10
"""Conservative on purpose: a server that loads these graphs is often older than the onnx package that writes them."""


_ONNX_TYPES = {TensorType.STRING: TensorProto.STRING, TensorType.INT64: TensorProto.INT64}


def preprocess_graph(vocabulary: Vocabulary) -> onnx.ModelProto:
    """item_ids, event_types, timestamps_ms → item_index, event_type_index, gap_bucket, all (B, MAX_SESSION_LENGTH).

    Equals Categorify and Bucketize of the workflow that made `vocabulary`; PADDING_ITEM_ID becomes PADDING_INDEX,
    what is not in the vocabulary OUT_OF_VOCABULARY_INDEX.
    """
    nodes = [
        _to_index(Tensor.ITEM_IDS, Tensor.ITEM_INDEX, vocabulary.item_ids),
        _to_index(Tensor.EVENT_TYPES, Tensor.EVENT_TYPE_INDEX, vocabulary.event_types),
        *_gap_bucket_nodes(),
    ]
    constants = {
        "gap_boundaries_ms": np.array(vocabulary.gap_boundaries_ms, np.int64),
        "zero": np.array([0], np.int64),
        "one": np.array([1], np.int64),
        "columns": np.array([MAX_SESSION_LENGTH], np.int64),
        "last_axis": np.array([1], np.int64),
        "bucket_axis": np.array([2], np.int64),
        "first_column": np.array([0, 1, 0, 0], np.int64),
        "padding_index": np.array(PADDING_INDEX, np.int64),
        "no_bucket": np.array(0, np.int64),
    }
    return _model(PREPROCESS, nodes, constants)


def postprocess_graph(vocabulary: Vocabulary) -> onnx.ModelProto:
    """candidate_index → candidate_item_ids, both (B, MAX_CANDIDATES); reserved indices become PADDING_ITEM_ID."""
    node = helper.make_node(
        "LabelEncoder",
        [Tensor.CANDIDATE_INDEX],
        [Tensor.CANDIDATE_ITEM_IDS],
        domain="ai.onnx.ml",
        keys_int64s=range(FIRST_INDEX, vocabulary.item_count),
        values_strings=vocabulary.item_ids,
        default_string=PADDING_ITEM_ID,
    )
    return _model(POSTPROCESS, [node], {})


def _to_index(source: Tensor, target: Tensor, entries: tuple[str, ...]) -> onnx.NodeProto:
    return helper.make_node(
        "LabelEncoder",
        [source],
        [target],
        domain="ai.onnx.ml",
        keys_strings=[PADDING_ITEM_ID, *entries],
        values_int64s=[PADDING_INDEX, *range(FIRST_INDEX, FIRST_INDEX + len(entries))],
        default_int64=OUT_OF_VOCABULARY_INDEX,
    )


def _gap_bucket_nodes() -> list[onnx.NodeProto]:
    """Count of boundaries at or below the gap; 0 in the first column, and where this event or the one before is none.

    A gap is never below 0 in a row in event-time order, so a row out of order gets the bucket of gap 0.
    """
    node = helper.make_node
    return [
        node("Slice", [Tensor.TIMESTAMPS_MS, "one", "columns", "last_axis"], ["later_ms"]),
        node("Sub", ["columns", "one"], ["all_but_one"]),
        node("Slice", [Tensor.TIMESTAMPS_MS, "zero", "all_but_one", "last_axis"], ["earlier_ms"]),
        node("Sub", ["later_ms", "earlier_ms"], ["signed_gap_ms"]),
        node("Max", ["signed_gap_ms", "no_bucket"], ["gap_ms"]),
        node("Unsqueeze", ["gap_ms", "bucket_axis"], ["gap_ms_column"]),
        node("GreaterOrEqual", ["gap_ms_column", "gap_boundaries_ms"], ["reached"]),
        node("Cast", ["reached"], ["reached_int"], to=TensorProto.INT64),
        node("ReduceSum", ["reached_int", "bucket_axis"], ["bucket"], keepdims=0),
        # Only padding is to the left of padding: an event whose left neighbour is one is itself an event.
        node("Slice", [Tensor.ITEM_INDEX, "zero", "all_but_one", "last_axis"], ["earlier_item_index"]),
        node("Equal", ["earlier_item_index", "padding_index"], ["is_first"]),
        node("Where", ["is_first", "no_bucket", "bucket"], ["bucket_or_none"]),
        node("Pad", ["bucket_or_none", "first_column", "no_bucket"], [Tensor.GAP_BUCKET]),
    ]


def _model(name: str, nodes: list[onnx.NodeProto], constants: dict[str, np.ndarray]) -> onnx.ModelProto:
    """The model of this name, whose nodes take and give what its signature says."""
    inputs, outputs = ([_value_info(tensor) for tensor in tensors] for tensors in SIGNATURES[name])
    initializers = [onnx.numpy_helper.from_array(value, key) for key, value in constants.items()]
    graph = helper.make_graph(nodes, name, inputs, outputs, initializers)
    opsets = [helper.make_opsetid("", OPSET), helper.make_opsetid("ai.onnx.ml", ML_OPSET)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=IR_VERSION, producer_name="nextclick")
    onnx.checker.check_model(model)
    return model


def _value_info(tensor: Tensor) -> onnx.ValueInfoProto:
    kind, width = TENSORS[tensor]
    return helper.make_tensor_value_info(tensor, _ONNX_TYPES[kind], ["batch", width])
