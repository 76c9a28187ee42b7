"""The compiled workflow must equal NVTabular's, value by value; strings it never saw and empty rows included."""

import random
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnxruntime
import pandas as pd
import pytest

from feature_repo.schema import (
    FIRST_INDEX,
    MAX_CANDIDATES,
    MAX_SESSION_LENGTH,
    NULL_INDEX,
    OUT_OF_VOCABULARY_INDEX,
    PADDING_INDEX,
    EventType,
    Tensor,
)
from training.config import DataConfig
from training.data.preprocess import EncodedSessions, encode, fit_workflow, load_workflow, read_vocabulary
from training.data.sessions import with_gaps
from training.data.vocabulary import Vocabulary
from training.export.workflow_onnx import postprocess_graph, preprocess_graph

CONFIG = DataConfig()
NO_ITEMS = pd.DataFrame({"item_id": ["i1", "i2"], "category": ["c", ""], "price": [3.5, np.nan]})


def events_of(session_ids: list[str], rng: random.Random, item_ids: list[str], types: list[str]) -> pd.DataFrame:
    rows = []
    gaps = [0, 1, 999, 1000, 1001, 59_999, 60_000, 1_800_000, 10**9, 4999, 5000]
    for session_id in session_ids:
        at = 1_700_000_000_000
        for i in range(rng.randint(1, MAX_SESSION_LENGTH)):
            at += rng.choice(gaps)
            rows.append((f"{session_id}-{i:03}", rng.choice(types), session_id, rng.choice(item_ids), at))
    columns = ["event_id", "event_type", "session_id", "item_id", "timestamp_ms"]
    return with_gaps(pd.DataFrame(rows, columns=columns).sample(frac=1, random_state=1))


@pytest.fixture(scope="module")
def fitted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("workflow") / "workflow"
    sessions = [f"s{i}" for i in range(30)]
    item_ids = [f"i{i}" for i in range(40)] + ["ünïcode ★", " blank ", "42"]
    fit_workflow(events_of(sessions, random.Random(1), item_ids, ["view", "purchase"]), NO_ITEMS, CONFIG, folder)
    return folder


@pytest.fixture(scope="module")
def vocabulary(fitted: Path) -> Vocabulary:
    return read_vocabulary(fitted, CONFIG)


def run_preprocess(vocabulary: Vocabulary, rows: dict[str, npt.NDArray[np.generic]]) -> list[npt.NDArray[np.int64]]:
    session = onnxruntime.InferenceSession(preprocess_graph(vocabulary).SerializeToString())
    return session.run([Tensor.ITEM_INDEX, Tensor.EVENT_TYPE_INDEX, Tensor.GAP_BUCKET], rows)


def padded(events: pd.DataFrame, encoded: EncodedSessions) -> dict[str, npt.NDArray[np.generic]]:
    """The sessions as the gateway would send them, in the order of `encoded`."""
    shape = (len(encoded.session_ids), MAX_SESSION_LENGTH)
    item_ids, types, times = np.full(shape, "", object), np.full(shape, "", object), np.zeros(shape, np.int64)
    for row, session_id in enumerate(encoded.session_ids):
        own = events[events["session_id"] == session_id]
        item_ids[row, -len(own) :] = own["item_id"]
        types[row, -len(own) :] = own["event_type"]
        times[row, -len(own) :] = own["timestamp_ms"]
    return {Tensor.ITEM_IDS: item_ids, Tensor.EVENT_TYPES: types, Tensor.TIMESTAMPS_MS: times}


@pytest.mark.parametrize("seed", range(3))
def test_every_value_equals_that_of_the_workflow(fitted: Path, vocabulary: Vocabulary, seed: int) -> None:
    item_ids = [*vocabulary.item_ids, "never seen", "I1"]
    types = [event_type.value for event_type in EventType]
    events = events_of([f"t{i}" for i in range(17)], random.Random(seed), item_ids, types)
    encoded = encode(load_workflow(fitted), events, NO_ITEMS, CONFIG)
    expected = (encoded.item_index, encoded.event_type_index, encoded.gap_bucket)
    for found, flat in zip(run_preprocess(vocabulary, padded(events, encoded)), expected, strict=True):
        used = np.arange(MAX_SESSION_LENGTH) >= MAX_SESSION_LENGTH - encoded.lengths[:, None]
        np.testing.assert_array_equal(found[used], flat)
        assert (found[~used] == PADDING_INDEX).all()
    assert (encoded.item_index == OUT_OF_VOCABULARY_INDEX).any()
    assert NULL_INDEX not in encoded.item_index


def test_a_row_of_padding_alone_is_all_zero(vocabulary: Vocabulary) -> None:
    empty = np.full((2, MAX_SESSION_LENGTH), "", object)
    rows = {Tensor.ITEM_IDS: empty, Tensor.EVENT_TYPES: empty, Tensor.TIMESTAMPS_MS: np.zeros_like(empty, np.int64)}
    assert not any(output.any() for output in run_preprocess(vocabulary, rows))


def test_indices_become_item_ids_again(vocabulary: Vocabulary) -> None:
    session = onnxruntime.InferenceSession(postprocess_graph(vocabulary).SerializeToString())
    index = np.zeros((1, MAX_CANDIDATES), np.int64)
    index[0, :6] = [FIRST_INDEX, vocabulary.item_count - 1, PADDING_INDEX, NULL_INDEX, OUT_OF_VOCABULARY_INDEX, 10**6]
    (item_ids,) = session.run(None, {Tensor.CANDIDATE_INDEX: index})
    assert item_ids[0, :6].tolist() == [vocabulary.item_ids[0], vocabulary.item_ids[-1], "", "", "", ""]


def test_vocabulary_is_ordered_by_frequency_and_hashes_its_content(vocabulary: Vocabulary, tmp_path: Path) -> None:
    vocabulary.save(tmp_path)
    assert Vocabulary.load(tmp_path) == vocabulary
    other = Vocabulary(vocabulary.item_ids[::-1], vocabulary.event_types, (), vocabulary.gap_boundaries_ms)
    assert other.sha256 != vocabulary.sha256
    assert sorted(vocabulary.event_types) == ["purchase", "view"]
    assert "" not in vocabulary.item_ids
