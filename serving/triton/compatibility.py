"""Whether a served ensemble was built for this gateway: the same dimensions, and one vocabulary in all its models."""

from collections.abc import Iterable, Sequence
from typing import Any

from tritonclient.grpc.model_config_pb2 import DataType, ModelConfig

from feature_repo.schema import TENSORS, VOCABULARY_HASH_PARAMETER, Tensor
from serving.triton.tensors import INPUTS, OUTPUTS


def find_mismatches(ensemble: ModelConfig, steps: Sequence[ModelConfig]) -> list[str]:
    """One sentence for each thing that does not fit; empty when the ensemble may be served."""
    problems = _tensor_mismatches("input", ensemble.input, INPUTS)
    problems += _tensor_mismatches("output", ensemble.output, OUTPUTS)
    return problems + _vocabulary_mismatches([ensemble, *steps])


def _tensor_mismatches(kind: str, served: Iterable[Any], expected: Iterable[Tensor]) -> list[str]:
    actual = {tensor.name: f"{DataType.Name(tensor.data_type)} {list(tensor.dims)}" for tensor in served}
    wanted = {tensor.value: f"TYPE_{TENSORS[tensor].type.name} {[TENSORS[tensor].width]}" for tensor in expected}
    return [
        f"{kind} {name} is {actual.get(name, 'absent')}, expected {wanted.get(name, 'no such tensor')}"
        for name in sorted(wanted.keys() | actual.keys())
        # An additional output does no harm; an additional input would stay unfilled.
        if actual.get(name) != wanted.get(name) and not (kind == "output" and name not in wanted)
    ]


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
