"""The session transformer: reads the events of a session, answers with a vector to score every item by.

Shapes: B rows, T columns (newest event last), D width, H heads, E = D / H, V items (reserved rows included).
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from feature_repo.schema import MAX_SESSION_LENGTH, PADDING_INDEX
from training.config import ModelConfig
from training.data.vocabulary import Vocabulary


class ItemEncoder(nn.Module):
    """An item's vector: its own embedding, plus its category's, plus a direction for its price.

    Category and price live in buffers, so that at export the whole matrix is one constant.
    """

    category_index_V: Tensor
    price_V: Tensor

    def __init__(self, vocabulary: Vocabulary, width: int) -> None:
        super().__init__()
        self.item_embedding = nn.Embedding(vocabulary.item_count, width)
        self.category_embedding = nn.Embedding(vocabulary.category_count, width)
        self.price_direction_D = nn.Parameter(torch.zeros(width))
        self.register_buffer("category_index_V", torch.zeros(vocabulary.item_count, dtype=torch.int64))
        self.register_buffer("price_V", torch.zeros(vocabulary.item_count))

    def forward(self) -> Tensor:
        """The matrix of all items, (V, D): input embedding and output weights are the same (tied)."""
        category_VD = self.category_embedding(self.category_index_V)
        return self.item_embedding.weight + category_VD + self.price_V[:, None] * self.price_direction_D


class Block(nn.Module):
    """Causal self-attention, then a feed-forward layer, each normalised before and added to its input (pre-norm)."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        width = config.width
        # By how many columns a query's event is newer than a key's; counted from the query, so that every column of
        # a training window learns what the last column, the only one served, will use.
        self.distance_bias_HT = nn.Parameter(torch.zeros(config.heads, MAX_SESSION_LENGTH))
        self.heads = config.heads
        self.dropout = nn.Dropout(config.dropout)
        self.attention_norm = nn.LayerNorm(width)
        self.query = nn.Linear(width, width)
        self.key_value = nn.Linear(width, 2 * width)
        self.attention_out = nn.Linear(width, width)
        self.forward_norm = nn.LayerNorm(width)
        self.up = nn.Linear(width, 4 * width)
        self.down = nn.Linear(4 * width, width)

    def forward(self, hidden_BTD: Tensor, mask_B1TT: Tensor, last_only: bool = False) -> Tensor:
        """Same shape out; with `last_only` the last column alone, (B, 1, D), which is all that serving needs."""
        normed_BTD = self.attention_norm(hidden_BTD)
        queries = slice(-1, None) if last_only else slice(None)
        hidden_BTD = hidden_BTD[:, queries]
        query_BHTE = self._split(self.query(normed_BTD[:, queries]))
        key_BHTE, value_BHTE = (self._split(part) for part in self.key_value(normed_BTD).chunk(2, dim=-1))
        bias_HTT = self.distance_bias_HT[:, _distance(normed_BTD.shape[1], normed_BTD.device)]
        bias_BHTT = torch.where(mask_B1TT, bias_HTT, -torch.inf)[:, :, queries].to(query_BHTE.dtype)
        attended_BHTE = F.scaled_dot_product_attention(query_BHTE, key_BHTE, value_BHTE, bias_BHTT)
        attended_BTD = self.attention_out(attended_BHTE.transpose(1, 2).flatten(2))
        hidden_BTD = hidden_BTD + self.dropout(attended_BTD)
        forward_BTD = self.down(F.gelu(self.up(self.forward_norm(hidden_BTD))))
        return hidden_BTD + self.dropout(forward_BTD)

    def _split(self, x_BTD: Tensor) -> Tensor:
        return x_BTD.unflatten(-1, (self.heads, -1)).transpose(1, 2)


class SessionTransformer(nn.Module):
    """Turns a left-padded row of events into one vector a column; an item's score is its dot product with it."""

    def __init__(self, vocabulary: Vocabulary, config: ModelConfig) -> None:
        super().__init__()
        self.items = ItemEncoder(vocabulary, config.width)
        self.event_type_embedding = nn.Embedding(vocabulary.event_type_count, config.width)
        self.gap_embedding = nn.Embedding(vocabulary.gap_bucket_count, config.width)
        self.dropout = nn.Dropout(config.dropout)
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.blocks))
        self.norm = nn.LayerNorm(config.width)
        self.apply(_initialise)

    def forward(
        self,
        item_index_BT: Tensor,
        event_type_index_BT: Tensor,
        gap_bucket_BT: Tensor,
        item_VD: Tensor,
        last_only: bool = False,
    ) -> Tensor:
        """Vectors (B, T, D), or (B, 1, D) with `last_only`. `item_VD` is `self.items()`, computed once a batch."""
        hidden_BTD = self.dropout(
            F.embedding(item_index_BT, item_VD)
            + self.event_type_embedding(event_type_index_BT)
            + self.gap_embedding(gap_bucket_BT)
        )
        mask_B1TT = _attention_mask(item_index_BT)
        for i, block in enumerate(self.blocks):
            hidden_BTD = block(hidden_BTD, mask_B1TT, last_only=last_only and i == len(self.blocks) - 1)
        return self.norm(hidden_BTD)


def _distance(columns: int, device: torch.device) -> Tensor:
    """Columns from key to query, (T, T); 0 where the key is newer, which the mask hides."""
    column_T = torch.arange(columns, device=device)
    return (column_T[:, None] - column_T[None, :]).clamp(min=0)


def _attention_mask(item_index_BT: Tensor) -> Tensor:
    """True where a column may look: at events up to its own, never at padding. Every column sees itself, so that no
    softmax is empty."""
    columns = item_index_BT.shape[1]
    eye_TT = torch.eye(columns, dtype=torch.bool, device=item_index_BT.device)
    past_TT = torch.ones(columns, columns, dtype=torch.bool, device=item_index_BT.device).tril()
    return (past_TT & (item_index_BT != PADDING_INDEX)[:, None, None, :]) | eye_TT


def _initialise(module: nn.Module) -> None:
    if isinstance(module, nn.Linear | nn.Embedding):
        nn.init.normal_(module.weight, std=0.02)
    if isinstance(module, nn.Linear):
        nn.init.zeros_(module.bias)


def pick_device(name: str) -> torch.device:
    """`cpu`, `cuda` or `mps` as named; `auto` takes the first there is of cuda, mps, cpu."""
    if name != "auto":
        return torch.device(name)
    if torch.cuda.is_available():
        return torch.device("cuda")
    return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
