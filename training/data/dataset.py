"""Cuts encoded sessions into windows and batches them by length, so that little padding is ever computed.

Legend: N events, W windows, B windows in a batch, T columns of a batch, V items.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor

from feature_repo.schema import FIRST_INDEX, MAX_SESSION_LENGTH
from training.data.preprocess import EncodedSessions, IntArray

NO_EVENT_BEFORE = 0
"""Gap bucket of a window's first event: the event before it, if any, is not in the window, nor in a served row."""


@dataclass(frozen=True, slots=True)
class Windows:
    """Runs of consecutive events: window w is events `start[w]` up to `start[w] + length[w]` of the flat arrays."""

    start: IntArray  # (W,)
    length: IntArray  # (W,), 1 … MAX_SESSION_LENGTH


@dataclass(frozen=True, slots=True)
class Batch:
    """Rows padded on the left with zeros (PADDING_INDEX): the newest event stands in the last column."""

    item_index_BT: Tensor
    event_type_index_BT: Tensor
    gap_bucket_BT: Tensor
    target_BT: Tensor  # index of the item that came next; 0 where there is nothing to learn

    @property
    def positions(self) -> int:
        """How many columns have something to learn."""
        return int((self.target_BT >= FIRST_INDEX).sum())

    def to(self, device: torch.device) -> "Batch":
        """The same batch on another device."""
        return Batch(*(tensor.to(device) for tensor in self._tensors()))

    def part(self, number: int, parts: int) -> "Batch":
        """Every `parts`-th row from row `number` on; there may be none."""
        return Batch(*(tensor[number::parts] for tensor in self._tensors()))

    def _tensors(self) -> tuple[Tensor, ...]:
        return self.item_index_BT, self.event_type_index_BT, self.gap_bucket_BT, self.target_BT


def training_windows(sessions: EncodedSessions) -> Windows:
    """Windows whose inputs have a next event each, so that every event but a session's first is a target once.

    A long session is cut from its newest event backwards; the rest at its beginning may be short.
    """
    starts, lengths = [], []
    for first, inputs in zip(sessions.offsets[:-1], sessions.lengths - 1, strict=True):
        for end in range(inputs, 0, -MAX_SESSION_LENGTH):
            length = min(end, MAX_SESSION_LENGTH)
            starts.append(first + end - length)
            lengths.append(length)
    return Windows(np.array(starts, np.int64), np.array(lengths, np.int64))


def question_windows(sessions: EncodedSessions, exclude_seen: bool) -> Windows:
    """One window for each next-item question, holding what a served row would: the last MAX_SESSION_LENGTH events.

    With `exclude_seen`, a next item that stands in the window is not asked for: it is never answered.
    """
    ends = np.concatenate([np.arange(first + 1, end) for first, end in pairwise(sessions.offsets)])
    firsts = np.repeat(sessions.offsets[:-1], sessions.lengths - 1)
    starts = np.maximum(firsts, ends - MAX_SESSION_LENGTH)
    if exclude_seen:
        item_index = sessions.item_index
        # Unknown items share an index, which says nothing about having been seen.
        fresh = [
            item_index[end] < FIRST_INDEX or item_index[end] not in item_index[start:end]
            for start, end in zip(starts, ends, strict=True)
        ]
        starts, ends = starts[fresh], ends[fresh]
    return Windows(starts, ends - starts)


def training_batches(
    sessions: EncodedSessions, windows: Windows, batch_size: int, rng: np.random.Generator
) -> Iterator[Batch]:
    """Every window once, in batches of similar length and random order."""
    # Noise of a few columns: windows of equal length do not always meet the same company.
    order = np.argsort(windows.length + rng.uniform(0, 4, len(windows.length)))
    chunks = np.split(order, range(batch_size, len(order), batch_size))
    for chunk in rng.permutation(len(chunks)):
        yield make_batch(sessions, windows, chunks[chunk])


def question_batches(sessions: EncodedSessions, windows: Windows, batch_size: int) -> Iterator[tuple[IntArray, Batch]]:
    """Batches of similar length with the numbers of their windows; the answer is the last column of the targets."""
    order = np.argsort(windows.length, kind="stable")
    for start in range(0, len(order), batch_size):
        rows = order[start : start + batch_size]
        yield rows, make_batch(sessions, windows, rows)


def make_batch(sessions: EncodedSessions, windows: Windows, rows: IntArray) -> Batch:
    """The windows of these numbers, T being the longest of them."""
    starts, lengths = windows.start[rows], windows.length[rows]
    columns = int(lengths.max())
    age = np.arange(columns - 1, -1, -1)  # 0 for the last column
    used = age[None, :] < lengths[:, None]
    position = np.where(used, (starts + lengths - 1)[:, None] - age[None, :], 0)

    def rows_of(values: IntArray, shift: int = 0) -> Tensor:
        return torch.from_numpy(np.where(used, values[position + shift], 0))

    gaps = rows_of(sessions.gap_bucket)
    gaps[np.arange(len(rows)), columns - lengths] = NO_EVENT_BEFORE
    targets = rows_of(sessions.item_index, shift=1)
    targets[targets < FIRST_INDEX] = 0
    return Batch(rows_of(sessions.item_index), rows_of(sessions.event_type_index), gaps, targets)
