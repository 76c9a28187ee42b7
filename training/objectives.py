"""What training minimises."""

from torch import Tensor
from torch.nn import functional as F

from feature_repo.schema import FIRST_INDEX


def next_item_loss(hidden_BTD: Tensor, target_BT: Tensor, item_VD: Tensor) -> Tensor:
    """Mean cross-entropy of the next item over the whole catalogue; scores are computed at valid positions only.

    A target below FIRST_INDEX marks a position without one; reserved indices are never scored.
    """
    valid_BT = target_BT >= FIRST_INDEX
    scores = hidden_BTD[valid_BT] @ item_VD[FIRST_INDEX:].T
    return F.cross_entropy(scores.float(), target_BT[valid_BT] - FIRST_INDEX)
