"""What the transformer must never do: look ahead, look at padding, or answer differently for the last column alone."""

import pytest
import torch

from feature_repo.schema import FIRST_INDEX, MAX_SESSION_LENGTH
from training.config import ModelConfig
from training.data.vocabulary import Vocabulary
from training.models.session_transformer import SessionTransformer, pick_device

VOCABULARY = Vocabulary(tuple("abcdefgh"), ("view", "purchase"), ("x", "y"), (0, 1000))


@pytest.fixture
def model() -> SessionTransformer:
    torch.manual_seed(1)
    model = SessionTransformer(VOCABULARY, ModelConfig(width=16, blocks=2, heads=2)).eval()
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.3)  # as if trained: nothing is nearly zero
    return model


def rows(length: int, columns: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Two sessions of `length` events in `columns` columns; the same events for every number of columns."""
    torch.manual_seed(length)
    highest = (VOCABULARY.item_count, VOCABULARY.event_type_count, VOCABULARY.gap_bucket_count)
    events = [torch.randint(low, high, (2, length)) for low, high in zip((FIRST_INDEX, 3, 0), highest, strict=True)]
    item_index, event_types, gaps = (torch.nn.functional.pad(event, (columns - length, 0)) for event in events)
    return item_index, event_types, gaps


def test_padding_changes_nothing(model: SessionTransformer) -> None:
    item_VD = model.items()
    narrow = model(*rows(5, 5), item_VD)
    wide = model(*rows(5, MAX_SESSION_LENGTH), item_VD)
    torch.testing.assert_close(narrow, wide[:, -5:], rtol=0, atol=1e-5)


def test_no_column_sees_a_later_one(model: SessionTransformer) -> None:
    item_index, event_types, gaps = rows(6, 6)
    before = model(item_index, event_types, gaps, model.items())
    item_index[:, 4] = (item_index[:, 4] - FIRST_INDEX + 1) % 8 + FIRST_INDEX
    after = model(item_index, event_types, gaps, model.items())
    assert torch.equal(before[:, :4], after[:, :4])
    assert not torch.allclose(before[:, 5], after[:, 5])


@pytest.mark.parametrize("part", range(3))
def test_item_event_type_and_gap_all_matter(model: SessionTransformer, part: int) -> None:
    inputs = rows(4, 4)
    before = model(*inputs, model.items())[:, -1]
    inputs[part][:, 2] = torch.where(inputs[part][:, 2] == 3, 4, 3) if part < 2 else (inputs[part][:, 2] + 1) % 3
    assert not torch.allclose(before, model(*inputs, model.items())[:, -1])


def test_last_column_alone_is_the_same(model: SessionTransformer) -> None:
    inputs = rows(7, 12)
    everything = model(*inputs, model.items())
    alone = model(*inputs, model.items(), last_only=True)
    torch.testing.assert_close(alone, everything[:, -1:], rtol=0, atol=1e-5)


def test_a_row_without_events_has_a_finite_answer(model: SessionTransformer) -> None:
    empty = torch.zeros(1, MAX_SESSION_LENGTH, dtype=torch.int64)
    assert torch.isfinite(model(empty, empty, empty, model.items(), last_only=True)).all()


def test_item_matrix_sums_embedding_category_and_price(model: SessionTransformer) -> None:
    items = model.items
    items.category_index_V[5], items.price_V[5] = 4, -2.0
    expected = items.item_embedding.weight[5] + items.category_embedding.weight[4] - 2.0 * items.price_direction_D
    torch.testing.assert_close(items()[5], expected)


def test_device_is_picked_by_name() -> None:
    assert pick_device("cpu").type == "cpu"
    assert pick_device("auto").type in {"cpu", "cuda", "mps"}
