"""The local backend `onnxruntime` serves model folders as NVIDIA's does: batches, strings, errors, ensembles."""

import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import tritonclient.grpc as triton
from onnx import TensorProto, helper

from nextclick.stack.addresses import Addresses

OPSETS = [helper.make_opsetid("", 17), helper.make_opsetid("ai.onnx.ml", 3)]
NUMPY_TYPES: dict[str, Any] = {"FP32": np.float32, "INT64": np.int64, "BOOL": np.bool_, "BYTES": np.object_}

Load = Callable[..., str]


@pytest.fixture(scope="module")
def client(stack: Addresses) -> Iterator[triton.InferenceServerClient]:
    with triton.InferenceServerClient(stack.triton_grpc_url) as client:
        yield client


@pytest.fixture
def load(stack: Addresses, client: triton.InferenceServerClient) -> Iterator[Load]:
    """Writes a model folder under a name of its own and loads it."""
    loaded: list[str] = []

    def write_and_load(config: str, graph: onnx.GraphProto | None = None) -> str:
        name = f"backend_{uuid.uuid4().hex[:8]}"
        version = stack.model_repository / name / "1"
        version.mkdir(parents=True)
        if graph:
            onnx.save(helper.make_model(graph, opset_imports=OPSETS, ir_version=9), version / "model.onnx")
            config = f'backend: "onnxruntime" {config}'
        (version.parent / "config.pbtxt").write_text(config)
        client.load_model(name)
        loaded.append(name)
        return name

    yield write_and_load
    for name in reversed(loaded):
        client.unload_model(name)


Tensors = dict[str, tuple[int, list[Any]]]
"""ONNX type and shape by name."""


def _graph(nodes: list[onnx.NodeProto], inputs: Tensors, outputs: Tensors) -> onnx.GraphProto:
    def values(tensors: Tensors) -> list[onnx.ValueInfoProto]:
        return [helper.make_tensor_value_info(name, kind, shape) for name, (kind, shape) in tensors.items()]

    graph: onnx.GraphProto = helper.make_graph(nodes, "graph", values(inputs), values(outputs))
    return graph


def _doubling() -> onnx.GraphProto:
    """y = x + x, and rows = how many rows the run had, at every row."""
    nodes = [
        helper.make_node("Add", ["x", "x"], ["y"]),
        helper.make_node("Shape", ["x"], ["count"], end=1),
        helper.make_node("Constant", [], ["one"], value_ints=[1]),
        helper.make_node("Concat", ["count", "one"], ["shape"], axis=0),
        helper.make_node("Expand", ["count", "shape"], ["rows"]),
    ]
    outputs: Tensors = {"y": (TensorProto.FLOAT, ["B", "N"]), "rows": (TensorProto.INT64, ["B", 1])}
    return _graph(nodes, {"x": (TensorProto.FLOAT, ["B", "N"])}, outputs)


def _encoding() -> onnx.GraphProto:
    node = helper.make_node(
        "LabelEncoder",
        ["item"],
        ["index"],
        domain="ai.onnx.ml",
        keys_strings=["", "apple", "épée"],
        values_int64s=[0, 3, 4],
        default_int64=2,
    )
    return _graph([node], {"item": (TensorProto.STRING, ["B", 2])}, {"index": (TensorProto.INT64, ["B", 2])})


def _decoding() -> onnx.GraphProto:
    node = helper.make_node(
        "LabelEncoder",
        ["index"],
        ["name"],
        domain="ai.onnx.ml",
        keys_int64s=[3, 4],
        values_strings=["APPLE", "ÉPÉE"],
        default_string="?",
    )
    return _graph([node], {"index": (TensorProto.INT64, ["B", 2])}, {"name": (TensorProto.STRING, ["B", 2])})


def _config(inputs: str, outputs: str, *, batch: int = 8, more: str = "") -> str:
    def tensors(kind: str, listed: str) -> str:
        fields = (tensor.split(":") for tensor in listed.split(" "))
        return " ".join(f'{kind} {{ name: "{n}" data_type: TYPE_{t} dims: [{d}] }}' for n, t, d in fields)

    return f"max_batch_size: {batch} {tensors('input', inputs)} {tensors('output', outputs)} {more}"


DOUBLING = _config("x:FP32:-1", "y:FP32:-1 rows:INT64:1", more="instance_group { count: 1 kind: KIND_CPU }")
ENCODING = _config("item:STRING:2", "index:INT64:2", more="dynamic_batching { }")
DECODING = _config("index:INT64:2", "name:STRING:2")


def _infer(
    client: triton.InferenceServerClient, model: str, outputs: list[str] | None = None, **inputs: tuple[str, Any]
) -> triton.InferResult:
    given = []
    for name, (kind, values) in inputs.items():
        array = np.array(values, dtype=NUMPY_TYPES[kind])
        given.append(triton.InferInput(name, list(array.shape), kind))
        given[-1].set_data_from_numpy(array)
    wanted = [triton.InferRequestedOutput(name) for name in outputs] if outputs else None
    return client.infer(model, given, outputs=wanted, client_timeout=30)


def test_floats_go_in_and_come_out(client: triton.InferenceServerClient, load: Load) -> None:
    result = _infer(client, load(DOUBLING, _doubling()), x=("FP32", [[1, 2, 3], [4, 5, 6]]))
    np.testing.assert_array_equal(result.as_numpy("y"), [[2, 4, 6], [8, 10, 12]])
    assert result.as_numpy("y").dtype == np.float32


def test_only_the_outputs_asked_for_are_answered(client: triton.InferenceServerClient, load: Load) -> None:
    result = _infer(client, load(DOUBLING, _doubling()), ["rows"], x=("FP32", [[1.0]]))
    assert result.as_numpy("rows").tolist() == [[1]]
    assert result.as_numpy("y") is None


def test_strings_are_utf_8_and_what_is_no_text_is_an_unknown_word(
    client: triton.InferenceServerClient, load: Load
) -> None:
    items = [["apple", "épée"], ["", "pear"], [b"\xff\xfe", "apple"]]
    result = _infer(client, load(ENCODING, _encoding()), item=("BYTES", items))
    assert result.as_numpy("index").tolist() == [[3, 4], [0, 2], [2, 3]]


def test_requests_of_a_batch_share_one_run_and_each_gets_its_own_rows(
    client: triton.InferenceServerClient, load: Load
) -> None:
    queue = "dynamic_batching { max_queue_delay_microseconds: 300000 preferred_batch_size: [ 8 ] }"
    model = load(f"{DOUBLING} {queue}", _doubling())

    def ask(number: int) -> triton.InferResult:
        rows = [[number, number]] * (1 + number % 2)
        return _infer(client, model, ["y"] if number % 3 == 0 else None, x=("FP32", rows))

    with ThreadPoolExecutor(5) as pool:
        results = list(pool.map(ask, range(5)))
    for number, result in enumerate(results):
        assert result.as_numpy("y").tolist() == [[2 * number] * 2] * (1 + number % 2)
    seen = [result.as_numpy("rows") for number, result in enumerate(results) if number % 3]
    assert max(int(rows.max()) for rows in seen) > 2


def test_requests_of_different_shapes_do_not_disturb_each_other(
    client: triton.InferenceServerClient, load: Load
) -> None:
    model = load(f"{DOUBLING} dynamic_batching {{ max_queue_delay_microseconds: 100000 }}", _doubling())
    with ThreadPoolExecutor(6) as pool:
        results = list(pool.map(lambda width: _infer(client, model, x=("FP32", [[1.0] * width])), range(1, 7)))
    assert [result.as_numpy("y").shape for result in results] == [(1, width) for width in range(1, 7)]


def test_an_error_of_one_request_is_not_the_others(client: triton.InferenceServerClient, load: Load) -> None:
    """y = table[x]: an index out of range makes the run fail."""
    table = helper.make_node("Constant", [], ["table"], value_floats=[10.0, 11.0])
    gather = helper.make_node("Gather", ["table", "x"], ["y"])
    graph = _graph([table, gather], {"x": (TensorProto.INT64, ["B", 1])}, {"y": (TensorProto.FLOAT, ["B", 1])})
    queue = "dynamic_batching { max_queue_delay_microseconds: 300000 preferred_batch_size: [ 8 ] }"
    model = load(_config("x:INT64:1", "y:FP32:1", more=f"instance_group {{ count: 1 kind: KIND_CPU }} {queue}"), graph)

    def ask(index: int) -> Any:
        try:
            return _infer(client, model, x=("INT64", [[index]])).as_numpy("y").tolist()
        except triton.InferenceServerException as error:
            return error.message()

    with ThreadPoolExecutor(4) as pool:
        good, bad, other, again = pool.map(ask, [0, 7, 1, 0])
    assert (good, other, again) == ([[10.0]], [[11.0]], [[10.0]])
    assert "indices" in bad


def test_an_ensemble_passes_tensors_between_models(client: triton.InferenceServerClient, load: Load) -> None:
    encode, decode = load(ENCODING, _encoding()), load(DECODING, _decoding())
    steps = "".join(
        f'step {{ model_name: "{model}" model_version: 1 input_map {{ key: "{source}" value: "{given}" }} '
        f'output_map {{ key: "{target}" value: "{made}" }} }}'
        for model, source, given, target, made in [
            (encode, "item", "item", "index", "index"),
            (decode, "index", "index", "name", "name"),
        ]
    )
    config = _config("item:STRING:2", "name:STRING:2", more=f"ensemble_scheduling {{ {steps} }}")
    result = _infer(client, load(f'platform: "ensemble" {config}'), item=("BYTES", [["apple", "pear"], ["", "épée"]]))
    assert [[name.decode() for name in row] for row in result.as_numpy("name")] == [["APPLE", "?"], ["?", "ÉPÉE"]]


def test_warm_up_samples_are_run_at_load(client: triton.InferenceServerClient, load: Load) -> None:
    sample = 'inputs { key: "x" value { data_type: TYPE_FP32 dims: [4] zero_data: true } }'
    model = load(f'{DOUBLING} model_warmup {{ name: "sample" batch_size: 2 {sample} }}', _doubling())
    assert _infer(client, model, x=("FP32", [[1.0]])).as_numpy("y").tolist() == [[2.0]]


def test_a_model_without_a_batch_dimension_is_served_as_it_is(client: triton.InferenceServerClient, load: Load) -> None:
    graph = _graph(
        [helper.make_node("Neg", ["x"], ["y"])], {"x": (TensorProto.FLOAT, [3])}, {"y": (TensorProto.FLOAT, [3])}
    )
    model = load(_config("x:FP32:3", "y:FP32:3", batch=0), graph)
    assert _infer(client, model, x=("FP32", [1, 2, 3])).as_numpy("y").tolist() == [-1, -2, -3]


MANY_THREADS = 'parameters { key: "intra_op_thread_count" value { string_value: "many" } }'


@pytest.mark.parametrize(
    ("config", "complaint"),
    [
        (_config("x:INT64:-1", "y:FP32:-1"), "input 'x' is TYPE_INT64"),
        (_config("x:FP32:-1", "z:FP32:-1"), r"outputs \['z'\]"),
        (_config("x:FP32:-1,2", "y:FP32:-1"), "input 'x' has shape"),
        (_config("x:FP32:-1", "y:FP32:-1", more=MANY_THREADS), "intra_op_thread_count"),
    ],
)
def test_a_configuration_that_does_not_fit_its_model_is_refused_at_load(
    load: Load, config: str, complaint: str
) -> None:
    with pytest.raises(triton.InferenceServerException, match=complaint):
        load(config, _doubling())


def test_a_damaged_model_is_refused_at_load(
    stack: Addresses, client: triton.InferenceServerClient, load: Load, tmp_path: Path
) -> None:
    name = load(DOUBLING, _doubling())
    (stack.model_repository / name / "1" / "model.onnx").write_bytes(b"no model")
    time.sleep(1)  # Triton compares modification times
    client.unload_model(name)
    with pytest.raises(triton.InferenceServerException, match=r"model\.onnx"):
        client.load_model(name)
