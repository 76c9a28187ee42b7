"""Our tensors are those of Triton's own client, byte for byte, and come back as they were sent."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from tritonclient.grpc.service_pb2 import ModelInferResponse
from tritonclient.utils import serialize_byte_tensor

from feature_repo.schema import MAX_CANDIDATES, MAX_SESSION_LENGTH, PADDING_ITEM_ID, Event, EventType, Tensor
from serving.triton.tensors import candidates, infer_request, request_template

ITEM_IDS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=12)


def visit_of(item_ids: list[str]) -> list[Event]:
    return [Event(f"e{n:03}", EventType.VIEW, "s1", item_id, 1_000 + n) for n, item_id in enumerate(item_ids)]


def as_bytes(rows: list[list[str]]) -> bytes:
    array = np.array([[value.encode() for value in row] for row in rows], dtype=np.object_)
    return bytes(serialize_byte_tensor(array).item())


def response_of(items: list[tuple[str, float]]) -> ModelInferResponse:
    """As Triton answers: a full row of MAX_CANDIDATES, padded at its end."""
    padding = MAX_CANDIDATES - len(items)
    scores = np.array([score for _, score in items] + [-np.inf] * padding, dtype=np.float32)
    response = ModelInferResponse()
    response.outputs.add(name=Tensor.CANDIDATE_SCORES)
    response.outputs.add(name=Tensor.CANDIDATE_ITEM_IDS)
    ids = [item_id for item_id, _ in items] + [PADDING_ITEM_ID] * padding
    response.raw_output_contents.extend([scores.tobytes(), as_bytes([ids])])
    return response


@given(st.lists(ITEM_IDS, max_size=MAX_SESSION_LENGTH))
def test_a_visit_stands_at_the_right_end_of_its_row(item_ids: list[str]) -> None:
    request = infer_request(request_template("m"), visit_of(item_ids), exclude_seen=True)
    padding = MAX_SESSION_LENGTH - len(item_ids)
    contents = dict(zip((tensor.name for tensor in request.inputs), request.raw_input_contents, strict=True))
    assert contents[Tensor.ITEM_IDS] == as_bytes([[PADDING_ITEM_ID] * padding + item_ids])
    assert contents[Tensor.EVENT_TYPES] == as_bytes([[""] * padding + ["view"] * len(item_ids)])
    times = [0] * padding + [1_000 + place for place in range(len(item_ids))]
    assert contents[Tensor.TIMESTAMPS_MS] == np.array(times, dtype=np.int64).tobytes()
    assert contents[Tensor.EXCLUDE_SEEN] == np.array([True]).tobytes()


def test_the_template_is_left_as_it_was() -> None:
    template = request_template("m")
    first = infer_request(template, visit_of(["a"]), exclude_seen=False)
    second = infer_request(template, visit_of(["b"]), exclude_seen=False)
    assert len(template.raw_input_contents) == 0
    assert len(first.raw_input_contents) == len(second.raw_input_contents) == len(template.inputs)


@given(st.lists(st.tuples(ITEM_IDS, st.floats(-100, 100, width=32)), max_size=20))
def test_candidates_come_back_in_order_and_end_at_the_padding(items: list[tuple[str, float]]) -> None:
    assert list(candidates(response_of(items))) == items


def test_a_full_row_of_candidates_is_read_to_its_end() -> None:
    items = [(f"item {place}", float(-place)) for place in range(MAX_CANDIDATES)]
    assert list(candidates(response_of(items))) == items
