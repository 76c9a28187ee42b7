"""The session transformer as Triton serves it: from indices to the best candidates, in one ONNX graph."""

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import onnx
import torch
from torch import Tensor as TorchTensor
from torch import nn
from torch.nn import functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel

from feature_repo.schema import (
    FIRST_INDEX,
    MAX_CANDIDATES,
    MAX_SESSION_LENGTH,
    PADDING_INDEX,
    SESSION_TRANSFORMER,
    SIGNATURES,
)
from training.errors import ExportError
from training.models.session_transformer import SessionTransformer

OPSET = 18
INPUTS, OUTPUTS = SIGNATURES[SESSION_TRANSFORMER]


class Scorer(nn.Module):
    """Scores the catalogue against a row's last column and keeps the best MAX_CANDIDATES.

    The item matrix is computed once, here: categories and prices are constants by now.
    """

    item_VD: TorchTensor
    reserved_V: TorchTensor

    def __init__(self, model: SessionTransformer) -> None:
        super().__init__()
        self.model = model
        item_VD = model.items().detach()
        self.register_buffer("item_VD", item_VD)
        reserved_V = torch.zeros(len(item_VD))
        reserved_V[:FIRST_INDEX] = -torch.inf
        self.register_buffer("reserved_V", reserved_V)

    def forward(
        self,
        item_index_BT: TorchTensor,
        event_type_index_BT: TorchTensor,
        gap_bucket_BT: TorchTensor,
        exclude_seen_B1: TorchTensor,
    ) -> tuple[TorchTensor, TorchTensor]:
        """Candidate indices (B, K), best first, and their scores; PADDING_INDEX and -inf once they run out."""
        inputs = item_index_BT, event_type_index_BT, gap_bucket_BT
        hidden_BD = self.model(*inputs, self.item_VD, last_only=True)[:, 0]
        scores_BV = hidden_BD @ self.item_VD.T + self.reserved_V
        excluded_BT = torch.where(exclude_seen_B1, item_index_BT, PADDING_INDEX)
        scores_BV = scores_BV.scatter(1, excluded_BT, -torch.inf)
        k = min(MAX_CANDIDATES, len(self.item_VD))
        scores_BK, index_BK = scores_BV.topk(k, dim=1)
        index_BK = torch.where(torch.isneginf(scores_BK), PADDING_INDEX, index_BK)
        missing = (0, MAX_CANDIDATES - k)
        return F.pad(index_BK, missing, value=PADDING_INDEX), F.pad(scores_BK, missing, value=-torch.inf)


def example_inputs(vocabulary_sizes: tuple[int, int, int], rows: int, seed: int = 0) -> tuple[TorchTensor, ...]:
    """Random rows of every length from 0 on, as the preprocess model would make them."""
    generator = torch.Generator().manual_seed(seed)
    length_B1 = torch.arange(rows)[:, None] % (MAX_SESSION_LENGTH + 1)
    used_BT = torch.arange(MAX_SESSION_LENGTH - 1, -1, -1)[None, :] < length_B1
    items, event_types, gaps = (
        torch.randint(low, size, used_BT.shape, generator=generator) * used_BT
        for low, size in zip((FIRST_INDEX - 1, FIRST_INDEX - 1, 0), vocabulary_sizes, strict=True)
    )
    return items, event_types, gaps, torch.arange(rows)[:, None] % 2 == 0


def transformer_graph(scorer: Scorer, vocabulary_sizes: tuple[int, int, int]) -> onnx.ModelProto:
    """The ONNX graph of `scorer`, any number of rows."""
    batch = torch.export.Dim("batch")
    arguments = example_inputs(vocabulary_sizes, rows=4)
    # The fused CPU kernel lays its output out otherwise than what the exporter puts in its place.
    with _quiet_exporter(), sdpa_kernel(SDPBackend.MATH):
        program = torch.onnx.export(
            scorer.eval(),
            arguments,
            dynamo=True,
            opset_version=OPSET,
            input_names=[name.value for name in INPUTS],
            output_names=[name.value for name in OUTPUTS],
            dynamic_shapes=tuple({0: batch} for _ in arguments),
            verbose=False,
        )
    if program is None:
        raise ExportError("torch.onnx.export gave no graph")
    return _without_traces(program.model_proto)


def _without_traces(graph: onnx.ModelProto) -> onnx.ModelProto:
    """Drop the exporter's notes: they hold source lines and paths of the machine that exported."""
    for part in (graph, graph.graph, *graph.graph.node, *graph.graph.value_info):
        part.ClearField("metadata_props")
    return graph


@contextmanager
def _quiet_exporter() -> Iterator[None]:
    """Silence two complaints of the exporter that are none of ours."""
    logger = logging.getLogger("torch.onnx._internal.exporter._registration")  # "torchvision is not installed"
    level = logger.level
    logger.setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="# The axis name: batch will not be used", category=UserWarning)
        try:
            yield
        finally:
            logger.setLevel(level)
