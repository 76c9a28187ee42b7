"""Every recommender passes the same cases; what only one of them does is tested in a module of its own."""

from collections.abc import Sequence

import numpy as np
import torch

from feature_repo.schema import FIRST_INDEX, OUT_OF_VOCABULARY_INDEX
from tests.support.recommender_cases import RecommenderCases, planted_histories
from training.data.preprocess import gap_boundaries_ms
from training.evaluation.baselines import CoVisitation, Popularity
from training.evaluation.metrics import mask_scores
from training.runs import Run, load_model, open_run
from training.settings import TrainingSettings

GAP_MS = 2_000


class TrainedModel:
    """The session transformer of a run, asked with events that are views two seconds apart."""

    def __init__(self, run: Run) -> None:
        self._model = load_model(run).eval()
        self._vocabulary = run.vocabulary
        self._gap = int(np.searchsorted(gap_boundaries_ms(run.config.data), GAP_MS, side="right"))

    def recommend(self, history: Sequence[str], k: int, exclude_seen: bool) -> list[str]:
        """As `Recommender`; the history holds at least one known item."""
        known = {item_id: FIRST_INDEX + place for place, item_id in enumerate(self._vocabulary.item_ids)}
        items = torch.tensor([[known.get(item_id, OUT_OF_VOCABULARY_INDEX) for item_id in history]])
        views = torch.full_like(items, FIRST_INDEX + self._vocabulary.event_types.index("view"))
        gaps = torch.tensor([[0] + [self._gap] * (len(history) - 1)])
        with torch.inference_mode():
            matrix = self._model.items()
            scores = self._model(items, views, gaps, matrix, last_only=True)[:, 0] @ matrix.T
            best = mask_scores(scores, items if exclude_seen else None)[0]
        order = best.argsort(descending=True)[: int(best.isfinite().sum())][:k]
        return [self._vocabulary.item_ids[index - FIRST_INDEX] for index in order.tolist()]


def trained_model(settings: TrainingSettings) -> TrainedModel:
    """The model of the planted run."""
    return TrainedModel(open_run(settings))


class TestPopularity(RecommenderCases):
    hits = 0.0
    fit = staticmethod(lambda settings: Popularity.fit(planted_histories()))


class TestCoVisitation(RecommenderCases):
    hits = 0.3  # it knows the last item only, after which two are as likely
    fit = staticmethod(lambda settings: CoVisitation.fit(planted_histories()))


class TestSessionTransformer(RecommenderCases):
    hits = 1.0
    needs_history = True
    fit = staticmethod(trained_model)
