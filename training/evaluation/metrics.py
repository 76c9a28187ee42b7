"""Full-ranking metrics: the real next item is ranked among the whole catalogue, never among sampled negatives."""

from dataclasses import dataclass

import torch
from torch import Tensor

from feature_repo.schema import FIRST_INDEX

CUTOFF = 10


@dataclass(frozen=True, slots=True)
class Metrics:
    """Means over questions, each in [0, 1]; the cut-off is CUTOFF."""

    hr_at_10: float
    """Share of questions whose answer is among the first 10."""
    ndcg_at_10: float
    """Mean of 1 / log2(1 + rank), nothing beyond rank 10."""
    mrr_at_10: float
    """Mean of 1 / rank, nothing beyond rank 10."""
    questions: int


def mask_scores(scores_BV: Tensor, seen_BT: Tensor | None) -> Tensor:
    """Scores with -inf at reserved indices and, where `seen_BT` is given, at the items it names."""
    masked_BV = scores_BV.clone()
    if seen_BT is not None:
        masked_BV.scatter_(1, seen_BT, -torch.inf)
    masked_BV[:, :FIRST_INDEX] = -torch.inf
    return masked_BV


def ranks(scores_BV: Tensor, target_B: Tensor) -> Tensor:
    """Rank of each target, 1 the best, as float (B,); inf where the target is reserved (unknown) or masked.

    Ties are pessimistic: an item of equal score stands before the target.
    """
    target_B1 = target_B[:, None]
    target_score_B1 = scores_BV.gather(1, target_B1)
    rank_B = (scores_BV >= target_score_B1).sum(dim=1).float()
    unanswerable_B = (target_B < FIRST_INDEX) | torch.isneginf(target_score_B1[:, 0])
    return rank_B.masked_fill(unanswerable_B, torch.inf)


def summarise(rank_B: Tensor) -> Metrics:
    """Metrics of ranks as `ranks` gives them. Raises ValueError when there are none."""
    if rank_B.numel() == 0:
        raise ValueError("no question to summarise")
    rank_B = rank_B.double()
    hit_B = rank_B <= CUTOFF
    return Metrics(
        hr_at_10=hit_B.double().mean().item(),
        ndcg_at_10=(hit_B / torch.log2(1 + rank_B)).mean().item(),
        mrr_at_10=(hit_B / rank_B).mean().item(),
        questions=rank_B.numel(),
    )
