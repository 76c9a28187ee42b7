"""Triton backend `onnxruntime` for machines without NVIDIA's C++ one: serves the same model folders by ONNX Runtime.

Runs in Triton's own Python environment, so it imports nothing of this project. The C++ backend's configuration keys
are used where they exist; unlike it, this one needs the inputs and outputs written out in config.pbtxt.
"""

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
import triton_python_backend_utils as pb_utils

Arrays = dict[str, Any]

_DEFAULT_FILE = "model.onnx"
_TYPES = {
    "TYPE_BOOL": "tensor(bool)",
    "TYPE_UINT8": "tensor(uint8)",
    "TYPE_UINT16": "tensor(uint16)",
    "TYPE_UINT32": "tensor(uint32)",
    "TYPE_UINT64": "tensor(uint64)",
    "TYPE_INT8": "tensor(int8)",
    "TYPE_INT16": "tensor(int16)",
    "TYPE_INT32": "tensor(int32)",
    "TYPE_INT64": "tensor(int64)",
    "TYPE_FP16": "tensor(float16)",
    "TYPE_FP32": "tensor(float)",
    "TYPE_FP64": "tensor(double)",
    "TYPE_STRING": "tensor(string)",
}


class TritonPythonModel:
    """One model instance: one session, and one `session.run` for all requests of a batch that fit together."""

    @staticmethod
    def auto_complete_config(auto_complete_model_config: Any) -> Any:
        """Leaves the configuration as it is: Triton does not say here where the model lies."""
        return auto_complete_model_config

    def initialize(self, args: dict[str, str]) -> None:
        """Opens the model; raises TritonModelException when it is not what config.pbtxt says."""
        config = json.loads(args["model_config"])
        file_name = config.get("default_model_filename") or _DEFAULT_FILE
        path = Path(args["model_repository"]) / args["model_version"] / file_name
        try:
            self._session = ort.InferenceSession(str(path), _session_options(config), ["CPUExecutionProvider"])
        except Exception as error:
            raise pb_utils.TritonModelException(f"{path}: {error}") from error
        _check_tensors("input", config["input"], self._session.get_inputs(), config)
        _check_tensors("output", config["output"], self._session.get_outputs(), config)
        self._batches = config.get("max_batch_size", 0) > 0
        self._input_names = [tensor["name"] for tensor in config["input"]]
        self._string_inputs = {t["name"] for t in config["input"] if t["data_type"] == "TYPE_STRING"}

    def execute(self, requests: Sequence[Any]) -> list[Any]:
        """A response for each request, in order; what is wrong with one is answered to that one only."""
        responses: list[Any] = [None] * len(requests)
        groups: dict[Any, list[tuple[int, Arrays]]] = {}
        for position, request in enumerate(requests):
            try:
                arrays = self._read(request)
            except Exception as error:
                responses[position] = _failure(error)
                continue
            key = _shape_key(arrays) if self._batches else position
            groups.setdefault(key, []).append((position, arrays))
        for group in groups.values():
            self._answer(requests, group, responses)
        return responses

    def _read(self, request: Any) -> Arrays:
        tensors = ((name, pb_utils.get_input_tensor_by_name(request, name)) for name in self._input_names)
        arrays = {name: tensor.as_numpy() for name, tensor in tensors if tensor is not None}
        for name in self._string_inputs & arrays.keys():
            arrays[name] = _to_text(arrays[name])
        return arrays

    def _answer(self, requests: Sequence[Any], group: list[tuple[int, Arrays]], responses: list[Any]) -> None:
        try:
            answers = self._run([requests[position] for position, _ in group], [arrays for _, arrays in group])
        except Exception as error:
            if len(group) == 1:
                responses[group[0][0]] = _failure(error)
                return
            for one in group:
                self._answer(requests, [one], responses)
            return
        for (position, _), response in zip(group, answers, strict=True):
            responses[position] = response

    def _run(self, requests: Sequence[Any], inputs: list[Arrays]) -> list[Any]:
        wanted = [list(request.requested_output_names()) for request in requests]
        names = list(dict.fromkeys(name for request_names in wanted for name in request_names))
        if len(inputs) == 1:
            feed = inputs[0]
        else:
            feed = {name: np.concatenate([arrays[name] for arrays in inputs]) for name in inputs[0]}
        outputs = dict(zip(names, self._session.run(names, feed), strict=True))
        if not self._batches:
            return [_response(wanted[0], outputs)]
        return self._split(wanted, outputs, [len(next(iter(arrays.values()))) for arrays in inputs])

    @staticmethod
    def _split(wanted: list[list[str]], outputs: Arrays, rows: list[int]) -> list[Any]:
        for name, array in outputs.items():
            if array.ndim == 0 or len(array) != sum(rows):
                raise ValueError(f"output '{name}' has shape {array.shape} for a batch of {sum(rows)}")
        responses, first = [], 0
        for names, count in zip(wanted, rows, strict=True):
            part = {name: outputs[name][first : first + count] for name in names}
            responses.append(_response(names, part))
            first += count
        return responses


def _session_options(config: dict[str, Any]) -> ort.SessionOptions:
    options = ort.SessionOptions()
    options.intra_op_num_threads = _integer(config, "intra_op_thread_count", 1)
    options.inter_op_num_threads = _integer(config, "inter_op_thread_count", 1)
    options.log_severity_level = 3
    return options


def _integer(config: dict[str, Any], name: str, default: int) -> int:
    parameter = config.get("parameters", {}).get(name)
    try:
        return default if parameter is None else int(parameter["string_value"])
    except ValueError as error:
        raise pb_utils.TritonModelException(f"parameter {name} is not a whole number") from error


def _check_tensors(kind: str, configured: list[dict[str, Any]], actual: Iterable[Any], config: dict[str, Any]) -> None:
    """What the C++ backend refuses at load is refused here too, so that it shows before it reaches a cluster."""
    by_name = {tensor.name: tensor for tensor in actual}
    names = {tensor["name"] for tensor in configured}
    required = by_name.keys() if kind == "input" else set()
    if not names or names - by_name.keys() or required - names:
        raise pb_utils.TritonModelException(f"{kind}s {sorted(names)} in config.pbtxt, {sorted(by_name)} in the model")
    for tensor in configured:
        _check_tensor(kind, tensor, by_name[tensor["name"]], config.get("max_batch_size", 0) > 0)


def _check_tensor(kind: str, configured: dict[str, Any], actual: Any, batches: bool) -> None:
    where = f"{kind} '{configured['name']}'"
    expected = _TYPES.get(configured["data_type"])
    if expected != actual.type:
        raise pb_utils.TritonModelException(
            f"{where} is {configured['data_type']} in config.pbtxt, {actual.type} in the model"
        )
    shape = [size if isinstance(size, int) else -1 for size in actual.shape]
    if batches and (not shape or shape[0] != -1):
        raise pb_utils.TritonModelException(
            f"{where} has shape {shape} in the model: a batch needs a first dimension of any size"
        )
    reshaped = configured.get("reshape", {}).get("shape")
    dims = [int(size) for size in (configured["dims"] if reshaped is None else reshaped)]
    dims = [-1, *dims] if batches else dims
    if len(dims) != len(shape) or any(a != b and -1 not in (a, b) for a, b in zip(dims, shape, strict=True)):
        raise pb_utils.TritonModelException(f"{where} has shape {dims} in config.pbtxt, {shape} in the model")


def _shape_key(arrays: Arrays) -> tuple[tuple[str, tuple[int, ...]], ...]:
    return tuple((name, array.shape[1:]) for name, array in arrays.items())


def _to_text(array: Any) -> Any:
    """Strings as ONNX Runtime's Python interface takes them; bytes that are no UTF-8 become unknown characters."""
    texts = np.empty(array.size, dtype=np.object_)
    texts[:] = [item.decode("utf-8", "replace") for item in array.ravel().tolist()]
    return texts.reshape(array.shape)


def _response(names: Iterable[str], outputs: Arrays) -> Any:
    return pb_utils.InferenceResponse([pb_utils.Tensor(name, outputs[name]) for name in names])


def _failure(error: Exception) -> Any:
    return pb_utils.InferenceResponse(error=pb_utils.TritonError(str(error)))
