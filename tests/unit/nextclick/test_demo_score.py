"""The demo's numbers come from ranked pages alone."""

import math
from collections.abc import Sequence

import pytest

from nextclick.demo.replay import Answer
from nextclick.demo.score import accuracy, compare, operations, percentile


def answer(next_item: str | None, ranked: Sequence[str], **changes: object) -> Answer:
    fields: dict[str, object] = {
        "history": ("a",), "next_item": next_item, "ranked": tuple(ranked), "call_ms": 2.0, "fresh_ms": 5.0,
        "degraded_reason": "", "error": "",
    }  # fmt: skip
    return Answer(**(fields | changes))  # type: ignore[arg-type]


class Constant:
    def recommend(self, history: Sequence[str], k: int, exclude_seen: bool) -> list[str]:
        return ["x", "y"][:k]


def test_accuracy_of_known_ranks() -> None:
    scores = accuracy([["a", "b"], ["a", "b"], ["a", "b"]], ["a", "b", "c"])
    assert scores.hr_at_10 == pytest.approx(2 / 3)
    assert scores.ndcg_at_10 == pytest.approx((1 + 1 / math.log2(3)) / 3)
    assert scores.mrr_at_10 == pytest.approx((1 + 1 / 2) / 3)


def test_only_answers_with_a_next_item_are_scored() -> None:
    scores = compare([answer("x", ["x"]), answer(None, ["x"])], {"constant": Constant()}, exclude_seen=True)
    assert scores["nextclick"].hr_at_10 == 1.0
    assert scores["constant"].hr_at_10 == 1.0


def test_a_failed_call_counts_as_a_miss() -> None:
    scores = compare([answer("x", [], error="UNAVAILABLE"), answer("x", ["x"])], {}, exclude_seen=True)
    assert scores["nextclick"].hr_at_10 == 0.5


def test_operations_count_what_went_wrong() -> None:
    numbers = operations([
        answer("x", ["x"]),
        answer("x", [], error="UNAVAILABLE", fresh_ms=None),
        answer("x", ["x"], degraded_reason="MODEL_UNAVAILABLE", call_ms=9.0),
    ])  # fmt: skip
    assert (numbers["requests"], numbers["errors"], numbers["degraded"], numbers["not_fresh"]) == (3, 1, 1, 1)
    assert numbers["gateway_ms"] == {"p50": 2.0, "p99": 9.0}


def test_percentile_is_nearest_rank() -> None:
    assert percentile([4.0, 1.0, 3.0, 2.0], 0.5) == 2.0
    assert percentile([4.0, 1.0, 3.0, 2.0], 0.99) == 4.0
    assert math.isnan(percentile([], 0.5))
