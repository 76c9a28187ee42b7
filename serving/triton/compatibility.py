"""Whether a served ensemble was built for this gateway: the same dimensions, and one vocabulary in all its models."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from tritonclient.grpc.model_config_pb2 import DataType, ModelConfig

from feature_repo.schema import VOCABULARY_HASH_PARAMETER
from serving.triton.tensors import INPUTS, OUTPUTS

_CONFIG_NAME = {"BYTES": "TYPE_STRING"}
"""Data types that a configuration calls otherwise than the inference protocol."""


def find_mismatches(ensemble: ModelConfig, steps: Sequence[ModelConfig]) -> list[str]:
    """One sentence for each thing that does not fit; empty when the ensemble may be served."""
    problems = _tensor_mismatches("input", ensemble.input, INPUTS)
    problems += _tensor_mismatches("output", ensemble.output, OUTPUTS)
    return problems + _vocabulary_mismatches([ensemble, *steps])


def _tensor_mismatches(kind: str, served: Iterable[Any], expected: Mapping[str, tuple[str, int]]) -> list[str]:
    actual = {tensor.name: f"{DataType.Name(tensor.data_type)} {list(tensor.dims)}" for tensor in served}
    wanted = {str(name): _describe(*tensor) for name, tensor in expected.items()}
    return [
        f"{kind} {name} is {actual.get(name, 'absent')}, expected {wanted.get(name, 'no such tensor')}"
        for name in sorted(wanted.keys() | actual.keys())
        # An additional output does no harm; an additional input would stay unfilled.
        if actual.get(name) != wanted.get(name) and not (kind == "output" and name not in wanted)
    ]


def _describe(datatype: str, width: int) -> str:
    return f"{_CONFIG_NAME.get(datatype, f'TYPE_{datatype}')} {[width]}"


def _vocabulary_mismatches(models: Sequence[ModelConfig]) -> list[str]:
    # Only `in` is asked first: reading an absent key of a protobuf map would create it.
    hashes = {
        model.name: model.parameters[VOCABULARY_HASH_PARAMETER].string_value
        for model in models
        if VOCABULARY_HASH_PARAMETER in model.parameters
    }
    unmarked = [model.name for model in models if not hashes.get(model.name)]
    problems = [f"{name} has no parameter {VOCABULARY_HASH_PARAMETER}" for name in unmarked]
    if len(set(filter(None, hashes.values()))) > 1:
        listed = ", ".join(f"{name} {digest[:12]}" for name, digest in hashes.items())
        problems.append(f"the models are of different vocabularies ({listed})")
    return problems
