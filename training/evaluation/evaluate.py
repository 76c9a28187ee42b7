"""Measures a run's model beside popularity and co-visitation, on the same questions, by full ranking."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pandas as pd
import torch

from training.data.dataset import Windows, question_batches, question_windows
from training.data.preprocess import EncodedSessions, encode, load_workflow
from training.data.sessions import item_id_lists, read_events, read_items, sessions_after
from training.errors import DataError
from training.evaluation.baselines import CoVisitation, Popularity, Recommender
from training.evaluation.metrics import CUTOFF, Metrics, mask_scores, ranks, summarise
from training.models.session_transformer import SessionTransformer, pick_device
from training.runs import load_model, open_run
from training.settings import TrainingSettings

QUESTION_BATCH_SIZE = 256


@dataclass(frozen=True, slots=True)
class EvaluationReport:
    """One row a recommender; every one was asked the same questions."""

    run_name: str
    sessions: int
    seen_items_excluded: bool
    results: dict[str, Metrics]

    def to_dict(self) -> dict[str, Any]:
        """The plain form, ready for JSON."""
        return asdict(self)


def evaluate(settings: TrainingSettings, run_name: str | None = None, exclude_seen: bool = True) -> EvaluationReport:
    """Ask for every next item of the sessions that started after those the run was trained and validated on.

    With `exclude_seen`, items of the session so far are never answered, and a next item among them is not asked for.
    Raises DataError when the archive holds no newer session of two events.
    """
    run = open_run(settings, run_name)
    events = read_events(settings.archive_path)
    cutoff_ms = int(EncodedSessions.load(run.sessions_file).start_ms[-1])
    test, seen = _split_at(events, cutoff_ms)
    config = run.config.data
    encoded = encode(load_workflow(run.workflow_folder), test, read_items(settings.items_path), config)
    windows = question_windows(encoded, exclude_seen)
    if not len(windows.start):
        raise DataError("no newer session asks for an item: archive newer sessions, or train with a test_share")
    device = pick_device(settings.device)
    model_rank = model_ranks(load_model(run).to(device), encoded, windows, exclude_seen, device)
    results = {"session_transformer": summarise(model_rank)}
    questions = _string_questions(test, encoded, windows)
    sessions = item_id_lists(seen)
    for name, baseline in (("co_visitation", CoVisitation.fit(sessions)), ("popularity", Popularity.fit(sessions))):
        results[name] = summarise(baseline_ranks(baseline, questions, exclude_seen))
    return EvaluationReport(run.name, test["session_id"].nunique(), exclude_seen, results)


def model_ranks(
    model: SessionTransformer, sessions: EncodedSessions, windows: Windows, exclude_seen: bool, device: torch.device
) -> torch.Tensor:
    """Rank of the real next item of each window, (W,); the last column's target is the answer."""
    rank_W = torch.zeros(len(windows.start))
    model.eval()
    with torch.inference_mode():
        item_VD = model.items()
        for rows, batch in question_batches(sessions, windows, QUESTION_BATCH_SIZE):
            batch = batch.to(device)
            inputs = batch.item_index_BT, batch.event_type_index_BT, batch.gap_bucket_BT
            scores_BV = model(*inputs, item_VD, last_only=True)[:, 0] @ item_VD.T
            masked_BV = mask_scores(scores_BV, batch.item_index_BT if exclude_seen else None)
            rank_W[torch.from_numpy(rows)] = ranks(masked_BV, batch.target_BT[:, -1]).cpu()
    return rank_W


def baseline_ranks(
    recommender: Recommender, questions: Sequence[tuple[list[str], str]], exclude_seen: bool
) -> torch.Tensor:
    """Rank of each (history, next item) among the first CUTOFF answers; inf when it is not there."""
    found = []
    for history, answer in questions:
        recommended = recommender.recommend(history, CUTOFF, exclude_seen)
        found.append(recommended.index(answer) + 1.0 if answer in recommended else float("inf"))
    return torch.tensor(found)


def _split_at(events: pd.DataFrame, cutoff_ms: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    test = sessions_after(events, cutoff_ms)
    if test.empty:
        raise DataError("no session started after those trained on: archive newer ones, or train with a test_share")
    return test, events[~events["session_id"].isin(test["session_id"].unique())]


def _string_questions(test: pd.DataFrame, encoded: EncodedSessions, windows: Windows) -> list[tuple[list[str], str]]:
    """The same windows as item ids."""
    by_session = {session_id: list(ids) for session_id, ids in test.groupby("session_id", sort=False)["item_id"]}
    flat = np.concatenate([np.array(by_session[session_id], object) for session_id in encoded.session_ids])
    return [
        (flat[start : start + length].tolist(), flat[start + length])
        for start, length in zip(windows.start, windows.length, strict=True)
    ]
