"""Windows, padding and batches: every event a target once, nothing of padding in a loss."""

import numpy as np
import pytest
import torch

from feature_repo.schema import FIRST_INDEX, MAX_SESSION_LENGTH, OUT_OF_VOCABULARY_INDEX
from training.data.dataset import (
    Batch,
    make_batch,
    question_batches,
    question_windows,
    training_batches,
    training_windows,
)
from training.data.preprocess import EncodedSessions
from training.models.objectives import next_item_loss


def encoded(*sessions: list[int]) -> EncodedSessions:
    items = np.concatenate([np.array(session) for session in sessions])
    return EncodedSessions(
        session_ids=[str(i) for i in range(len(sessions))],
        start_ms=np.arange(len(sessions)),
        offsets=np.cumsum([0, *map(len, sessions)]),
        item_index=items,
        event_type_index=np.full(len(items), 3),
        gap_bucket=np.arange(len(items)) % 5 + 1,
        category_index=np.full(len(items), 3),
        price=np.zeros(len(items), np.float32),
    )


@pytest.mark.parametrize("length", [1, 2, 3, MAX_SESSION_LENGTH, MAX_SESSION_LENGTH + 1, 3 * MAX_SESSION_LENGTH + 7])
def test_every_event_but_the_first_is_a_target_once(length: int) -> None:
    session = list(range(FIRST_INDEX, FIRST_INDEX + length))
    sessions = encoded(session, [7, 8])
    batches = training_batches(sessions, training_windows(sessions), 2, np.random.default_rng(1))
    targets = torch.cat([batch.target_BT[batch.target_BT > 0] for batch in batches])
    assert sorted(targets.tolist()) == sorted([*session[1:], 8])


def test_rows_are_padded_on_the_left_and_gaps_start_anew() -> None:
    sessions = encoded([5, 6, 7], [8, 9])
    batch = make_batch(sessions, training_windows(sessions), np.array([0, 1]))
    assert batch.item_index_BT.tolist() == [[5, 6], [0, 8]]
    assert batch.target_BT.tolist() == [[6, 7], [0, 9]]
    assert batch.gap_bucket_BT.tolist() == [[0, 2], [0, 0]]
    assert batch.event_type_index_BT.tolist() == [[3, 3], [0, 3]]


def test_unknown_items_are_read_but_never_learned() -> None:
    sessions = encoded([5, OUT_OF_VOCABULARY_INDEX, 6])
    batch = make_batch(sessions, training_windows(sessions), np.array([0]))
    assert batch.item_index_BT.tolist() == [[5, OUT_OF_VOCABULARY_INDEX]]
    assert batch.target_BT.tolist() == [[0, 6]]


def test_questions_see_what_a_served_row_holds() -> None:
    long = list(range(FIRST_INDEX, FIRST_INDEX + MAX_SESSION_LENGTH + 3))
    windows = question_windows(encoded(long), exclude_seen=False)
    assert windows.length.tolist() == [*range(1, MAX_SESSION_LENGTH + 1), MAX_SESSION_LENGTH, MAX_SESSION_LENGTH]
    assert windows.start[-1] == 2


def test_repeats_are_asked_for_only_when_they_may_be_answered() -> None:
    sessions = encoded([5, 6, 5, 7], [9])
    assert question_windows(sessions, exclude_seen=False).length.tolist() == [1, 2, 3]
    assert question_windows(sessions, exclude_seen=True).length.tolist() == [1, 3]


def test_question_batches_name_their_windows() -> None:
    sessions = encoded([5, 6, 7, 8], [9, 10])
    windows = question_windows(sessions, exclude_seen=True)
    answers = np.zeros(4, np.int64)
    for rows, batch in question_batches(sessions, windows, 3):
        answers[rows] = batch.target_BT[:, -1]
    assert answers.tolist() == [6, 7, 8, 10]


def test_loss_ignores_padding() -> None:
    torch.manual_seed(0)
    hidden_BTD, item_VD = torch.randn(2, 4, 8), torch.randn(11, 8)
    target_BT = torch.tensor([[0, 0, 5, 6], [0, 4, 9, 10]])
    loss = next_item_loss(hidden_BTD, target_BT, item_VD)
    disturbed_BTD = torch.where((target_BT == 0)[..., None], hidden_BTD * 100 + 1, hidden_BTD)
    assert torch.equal(loss, next_item_loss(disturbed_BTD, target_BT, item_VD))
    # By hand: the mean over five positions of -log softmax over the items alone.
    log_p = torch.log_softmax(hidden_BTD @ item_VD[FIRST_INDEX:].T, -1)
    expected = [log_p[b, t, target_BT[b, t] - FIRST_INDEX] for b, t in target_BT.nonzero().tolist()]
    assert loss.item() == pytest.approx(-torch.stack(expected).mean().item(), rel=1e-5)


def test_batch_moves_whole() -> None:
    batch = Batch(*(torch.zeros(1, 1, dtype=torch.int64) for _ in range(4)))
    assert batch.to(torch.device("cpu")).target_BT.device.type == "cpu"
