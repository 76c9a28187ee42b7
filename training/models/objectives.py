"""What training minimises."""

from torch import Tensor
from torch.nn import functional as F

from feature_repo.schema import FIRST_INDEX


def next_item_loss(hidden_BTD: Tensor, target_BT: Tensor, item_VD: Tensor, positions: int | None = None) -> Tensor:
    """Mean cross-entropy of the next item over the whole catalogue; scores are computed at valid positions only.

    A target below FIRST_INDEX marks a position without one; reserved indices are never scored. With `positions`, the
    rows are a part of a batch that has so many valid ones, and the losses of all parts add up to that batch's.
    """
    valid_BT = target_BT >= FIRST_INDEX
    scores = (hidden_BTD[valid_BT] @ item_VD[FIRST_INDEX:].T).float()
    answers = target_BT[valid_BT] - FIRST_INDEX
    if positions is None:
        return F.cross_entropy(scores, answers)
    return F.cross_entropy(scores, answers, reduction="sum") / positions
