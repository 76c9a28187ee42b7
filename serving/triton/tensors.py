"""Visits as Triton's input tensors and its output tensors as candidates, straight on the protobuf.

The client's InferInput objects and NumPy arrays cost five times as much for these shapes (100 µs a request).
"""

import struct
from collections.abc import Iterator, Sequence

from tritonclient.grpc.service_pb2 import ModelInferRequest, ModelInferResponse

from feature_repo.schema import ENSEMBLE, MAX_SESSION_LENGTH, PADDING_ITEM_ID, SIGNATURES, TENSORS, Event, Tensor
from serving.recommendation import ScoredItem

INPUTS, OUTPUTS = SIGNATURES[ENSEMBLE]

_EMPTY_STRING = bytes(4)  # a length of zero, little-endian: PADDING_ITEM_ID on the wire
_INT64_ROW = struct.Struct(f"<{MAX_SESSION_LENGTH}q")


def request_template(model_name: str) -> ModelInferRequest:
    """Everything of a request that does not depend on the visit: one row, all tensors named."""
    template = ModelInferRequest(model_name=model_name)
    for tensor in INPUTS:
        template.inputs.add(name=tensor, datatype=TENSORS[tensor].type, shape=[1, TENSORS[tensor].width])
    for name in OUTPUTS:
        template.outputs.add(name=name)
    return template


def infer_request(template: ModelInferRequest, events: Sequence[Event], exclude_seen: bool) -> ModelInferRequest:
    """One row, padded on the left: the newest event, which is the last, stands in the last column."""
    request = ModelInferRequest()
    request.CopyFrom(template)
    padding = MAX_SESSION_LENGTH - len(events)
    contents = {
        Tensor.ITEM_IDS: _strings([event.item_id for event in events], padding),
        Tensor.EVENT_TYPES: _strings([event.event_type for event in events], padding),
        Tensor.TIMESTAMPS_MS: _INT64_ROW.pack(*[0] * padding, *[event.timestamp_ms for event in events]),
        Tensor.EXCLUDE_SEEN: b"\x01" if exclude_seen else b"\x00",
    }
    request.raw_input_contents.extend([contents[tensor] for tensor in INPUTS])
    return request


def _strings(values: Sequence[str], padding: int) -> bytes:
    parts = [_EMPTY_STRING * padding]
    for value in values:
        encoded = value.encode()
        parts += (len(encoded).to_bytes(4, "little"), encoded)
    return b"".join(parts)


def candidates(response: ModelInferResponse) -> Iterator[ScoredItem]:
    """Item ids and scores of the one row, best first, decoded only as far as they are read.

    Raises KeyError, before the first one, if an output is missing.
    """
    raw = dict(zip((output.name for output in response.outputs), response.raw_output_contents, strict=False))
    return _decode(raw[Tensor.CANDIDATE_ITEM_IDS], raw[Tensor.CANDIDATE_SCORES])


def _decode(item_ids: bytes, scores: bytes) -> Iterator[ScoredItem]:
    offset = 0
    for (score,) in struct.iter_unpack("<f", scores):
        start = offset + 4
        offset = start + int.from_bytes(item_ids[start - 4 : start], "little")
        item_id = item_ids[start:offset].decode()
        if item_id == PADDING_ITEM_ID:
            return
        yield item_id, score
