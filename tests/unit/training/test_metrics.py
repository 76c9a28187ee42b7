"""Ranks and metrics by hand, ties and masks included."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from training.evaluation.metrics import mask_scores, ranks, summarise


def test_metrics_by_hand() -> None:
    metrics = summarise(torch.tensor([1.0, 2.0, 10.0, 11.0, math.inf]))
    assert metrics.questions == 5
    assert metrics.hr_at_10 == pytest.approx(3 / 5)
    assert metrics.ndcg_at_10 == pytest.approx((1 + 1 / math.log2(3) + 1 / math.log2(11)) / 5)
    assert metrics.mrr_at_10 == pytest.approx((1 + 1 / 2 + 1 / 10) / 5)


def test_no_question_has_no_metric() -> None:
    with pytest.raises(ValueError, match="no question"):
        summarise(torch.tensor([]))


def test_ties_count_against_the_target() -> None:
    scores = torch.tensor([[0.0, 0, 0, 5, 5, 5, 1]])
    assert ranks(scores, torch.tensor([4])).tolist() == [3]
    assert ranks(scores, torch.tensor([6])).tolist() == [4]


def test_reserved_and_seen_items_are_never_ranked() -> None:
    scores = torch.tensor([[9.0, 9, 9, 4, 3, 2], [9.0, 9, 9, 4, 3, 2]])
    seen = torch.tensor([[0, 3], [0, 0]])
    assert ranks(mask_scores(scores, seen), torch.tensor([4, 4])).tolist() == [1, 2]
    assert ranks(mask_scores(scores, None), torch.tensor([4, 4])).tolist() == [2, 2]
    assert ranks(mask_scores(scores, seen), torch.tensor([3, 2])).tolist() == [math.inf, math.inf]


@given(st.lists(st.floats(-5, 5, width=16), min_size=1, max_size=30), st.data())
def test_rank_is_one_more_than_the_better_or_equal_others(values: list[float], data: st.DataObject) -> None:
    scores = torch.tensor([[0.0, 0, 0, *values]])
    target = data.draw(st.integers(0, len(values) - 1))
    others = [value for i, value in enumerate(values) if i != target]
    expected = 1 + sum(value >= values[target] for value in others)
    assert ranks(mask_scores(scores, None), torch.tensor([3 + target])).item() == expected
