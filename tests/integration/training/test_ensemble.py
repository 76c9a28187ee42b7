"""The exported ensemble on a real Triton: it must give, over gRPC, the answers that training planted."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from tritonclient.grpc import InferenceServerClient, InferInput, InferRequestedOutput

from feature_repo.schema import (
    ENSEMBLE,
    MAX_CANDIDATES,
    MAX_SESSION_LENGTH,
    PADDING_ITEM_ID,
    PREPROCESS,
    VOCABULARY_HASH_PARAMETER,
    Event,
    Tensor,
)
from tests.support.planted_sessions import RING, next_on_ring, planted_events, planted_settings
from training.errors import ExportError
from training.export.ensemble import ExportedVersion, export
from training.export.triton_config import MAX_BATCH_SIZE
from training.export.triton_load import load
from training.settings import TrainingSettings

Answer = dict[Tensor, npt.NDArray[Any]]


@pytest.fixture(scope="module")
def settings(stack: Any, tmp_path_factory: pytest.TempPathFactory) -> TrainingSettings:
    planted = planted_settings(tmp_path_factory)
    return planted.model_copy(update={"model_repository": Path(stack.model_repository)})


@pytest.fixture(scope="module")
def exported(stack: Any, settings: TrainingSettings) -> ExportedVersion:
    version = export(settings)
    load(stack.triton_grpc_url, version.version)
    return version


@pytest.fixture
def client(stack: Any, exported: ExportedVersion) -> Iterator[InferenceServerClient]:
    client = InferenceServerClient(stack.triton_grpc_url)
    yield client
    client.close()


def ask(client: InferenceServerClient, sessions: list[list[Event]], exclude_seen: bool = True) -> Answer:
    """Call the ensemble as the gateway does."""
    shape = (len(sessions), MAX_SESSION_LENGTH)
    item_ids, types, times = np.full(shape, b"", object), np.full(shape, b"", object), np.zeros(shape, np.int64)
    for row, events in enumerate(sessions):
        for column, event in enumerate(events, start=MAX_SESSION_LENGTH - len(events)):
            item_ids[row, column], types[row, column] = event.item_id.encode(), event.event_type.encode()
            times[row, column] = event.timestamp_ms
    inputs = [
        _input(Tensor.ITEM_IDS, item_ids, "BYTES"),
        _input(Tensor.EVENT_TYPES, types, "BYTES"),
        _input(Tensor.TIMESTAMPS_MS, times, "INT64"),
        _input(Tensor.EXCLUDE_SEEN, np.full((len(sessions), 1), exclude_seen), "BOOL"),
    ]
    names = (Tensor.CANDIDATE_ITEM_IDS, Tensor.CANDIDATE_SCORES)
    result = client.infer(ENSEMBLE, inputs, outputs=[InferRequestedOutput(name.value) for name in names])
    answer = {name: result.as_numpy(name) for name in names}
    answer[Tensor.CANDIDATE_ITEM_IDS] = np.vectorize(bytes.decode)(answer[Tensor.CANDIDATE_ITEM_IDS])
    return answer


def _input(name: Tensor, values: npt.NDArray[Any], data_type: str) -> InferInput:
    tensor = InferInput(name.value, values.shape, data_type)
    tensor.set_data_from_numpy(values)
    return tensor


def sessions_of(events: list[Event]) -> list[list[Event]]:
    by_id: dict[str, list[Event]] = {}
    for event in events:
        by_id.setdefault(event.session_id, []).append(event)
    return list(by_id.values())


def test_planted_next_items_come_first_over_grpc(client: InferenceServerClient) -> None:
    unseen = sessions_of(planted_events(sessions=MAX_BATCH_SIZE, seed=99))
    histories = [events[:-1] for events in unseen]
    found = ask(client, histories)[Tensor.CANDIDATE_ITEM_IDS][:, 0].tolist()
    certain = [next_on_ring([event.item_id for event in history]) for history in histories]
    assert certain == [events[-1].item_id for events in unseen]
    assert sum(a == b for a, b in zip(found, certain, strict=True)) >= 0.95 * MAX_BATCH_SIZE


def test_seen_items_are_left_out_only_when_asked(client: InferenceServerClient) -> None:
    history = planted_events(sessions=1)[:3]
    seen = {event.item_id for event in history}
    for exclude_seen, expected in ((True, set(RING) - seen), (False, set(RING))):
        answer = ask(client, [history], exclude_seen)
        item_ids, scores = answer[Tensor.CANDIDATE_ITEM_IDS][0], answer[Tensor.CANDIDATE_SCORES][0]
        count = len(expected)
        assert set(item_ids[:count]) == expected
        assert (item_ids[count:] == PADDING_ITEM_ID).all()
        assert len(item_ids) == MAX_CANDIDATES
        assert np.isfinite(scores[:count]).all()
        assert np.isneginf(scores[count:]).all()
        assert (np.diff(scores[:count]) <= 0).all()


def test_a_batch_answers_as_its_rows_alone(client: InferenceServerClient) -> None:
    histories = [events[: 1 + i % 4] for i, events in enumerate(sessions_of(planted_events(sessions=9, seed=5)))]
    together = ask(client, histories)
    for row, history in enumerate(histories):
        alone = ask(client, [history])
        np.testing.assert_allclose(
            alone[Tensor.CANDIDATE_SCORES][0], together[Tensor.CANDIDATE_SCORES][row], rtol=0, atol=1e-4
        )
        assert alone[Tensor.CANDIDATE_ITEM_IDS][0, 0] == together[Tensor.CANDIDATE_ITEM_IDS][row, 0]


def test_unknown_items_and_empty_rows_are_answered(client: InferenceServerClient) -> None:
    history = planted_events(sessions=1)[:2]
    strange = [Event("x", event.event_type, "s", "never seen ★", event.timestamp_ms) for event in history[:1]]
    item_ids = ask(client, [strange, [], history])[Tensor.CANDIDATE_ITEM_IDS]
    assert set(item_ids[0, : len(RING)]) == set(item_ids[1, : len(RING)]) == set(RING)


def test_every_model_says_which_vocabulary_it_speaks(client: InferenceServerClient, exported: ExportedVersion) -> None:
    for name in (PREPROCESS, ENSEMBLE):
        config = client.get_model_config(name).config
        assert config.parameters[VOCABULARY_HASH_PARAMETER].string_value == exported.vocabulary_sha256
    config = client.get_model_config(ENSEMBLE).config
    assert {step.model_version for step in config.ensemble_scheduling.step} == {exported.version}


def test_the_next_version_takes_over_and_the_one_before_stays_loaded(
    stack: Any, settings: TrainingSettings, exported: ExportedVersion, client: InferenceServerClient
) -> None:
    following = export(settings)
    assert following.version == exported.version + 1
    # Written, not loaded: the old version still answers.
    assert client.is_model_ready(ENSEMBLE, str(exported.version))
    load(stack.triton_grpc_url, following.version)
    assert client.is_model_ready(ENSEMBLE, str(following.version))
    assert client.is_model_ready(PREPROCESS, str(exported.version))
    assert ask(client, [planted_events(sessions=1)[:2]])[Tensor.CANDIDATE_ITEM_IDS][0, 0] in RING


def test_of_two_exports_at_once_the_one_that_was_superseded_says_so_at_once(
    stack: Any, settings: TrainingSettings, exported: ExportedVersion, client: InferenceServerClient
) -> None:
    first, second = export(settings).version, export(settings).version
    with pytest.raises(ExportError, match=f"version {first} is not served: another export .* version {second}"):
        load(stack.triton_grpc_url, first, timeout_s=3600)  # nothing waits for this limit
    load(stack.triton_grpc_url, second)
    assert client.is_model_ready(ENSEMBLE, str(second))
    with pytest.raises(ExportError, match=f"version {first} is not served"):
        load(stack.triton_grpc_url, first, timeout_s=3600)


def test_a_version_that_is_not_there_is_an_error(stack: Any, exported: ExportedVersion) -> None:
    with pytest.raises(ExportError, match=r"version 999 is written, .* preprocess is not ready after 5 s"):
        load(stack.triton_grpc_url, 999, timeout_s=5)
    with pytest.raises(ExportError, match="did not load"):
        load("127.0.0.1:1", exported.version)
