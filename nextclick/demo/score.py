"""Turns the gateway's answers into the demo's numbers, beside baselines that rank for the same events."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch

from nextclick.demo.replay import PAGE_SIZE, Answer
from training.evaluation.baselines import Recommender
from training.evaluation.metrics import Metrics, summarise


def accuracy(pages: Sequence[Sequence[str]], next_items: Sequence[str]) -> Metrics:
    """Metrics of ranked pages, each for the one real next item; an item beyond its page counts as a miss."""
    pairs = zip(pages, next_items, strict=True)
    ranks = [page.index(item) + 1.0 if item in page else math.inf for page, item in pairs]
    return summarise(torch.tensor(ranks))


def compare(answers: Sequence[Answer], baselines: Mapping[str, Recommender], exclude_seen: bool) -> dict[str, Metrics]:
    """Accuracy by name: the gateway's answers first, then each baseline on the same events."""
    asked = [answer for answer in answers if answer.next_item is not None]
    next_items = [answer.next_item or "" for answer in asked]
    scores = {"nextclick": accuracy([answer.ranked[:PAGE_SIZE] for answer in asked], next_items)}
    for name, baseline in baselines.items():
        pages = [baseline.recommend(answer.history, PAGE_SIZE, exclude_seen) for answer in asked]
        scores[name] = accuracy(pages, next_items)
    return scores


def percentile(values: Sequence[float], q: float) -> float:
    """Nearest-rank percentile, `q` in (0, 1]; NaN without values."""
    if not values:
        return math.nan
    return sorted(values)[max(0, math.ceil(q * len(values)) - 1)]


def operations(answers: Sequence[Answer]) -> dict[str, Any]:
    """Counts and latencies of the calls, in milliseconds."""
    calls = [answer.call_ms for answer in answers]
    fresh = [answer.fresh_ms for answer in answers if answer.fresh_ms is not None]
    return {
        "requests": len(answers),
        "errors": sum(bool(answer.error) for answer in answers),
        "degraded": sum(bool(answer.degraded_reason) for answer in answers),
        "not_fresh": len(answers) - len(fresh),
        "gateway_ms": {"p50": percentile(calls, 0.50), "p99": percentile(calls, 0.99)},
        "event_to_answer_ms": {"p50": percentile(fresh, 0.50), "p99": percentile(fresh, 0.99)},
    }
