"""Planted sessions must be solved, a run must repeat itself, and an interrupted one must end where it would have."""

import dataclasses
import json
from pathlib import Path

import pytest
import torch

from tests.support.planted_sessions import next_on_ring, planted_events, planted_settings, write_archive
from training.config import recipe
from training.errors import DataError, RunError
from training.evaluation.evaluate import evaluate
from training.runs import load_model, open_run
from training.settings import TrainingSettings
from training.train import EpochReport, TrainingResult, train


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> TrainingSettings:
    return planted_settings(tmp_path_factory)


def short(settings: TrainingSettings, **kwargs: object) -> TrainingResult:
    config = dataclasses.replace(
        recipe("tiny"), max_epochs=4, model=dataclasses.replace(recipe("tiny").model, dropout=0.2)
    )
    return train(config, settings, **kwargs)  # type: ignore[arg-type]


def test_model_finds_what_last_item_alone_cannot(settings: TrainingSettings) -> None:
    report = evaluate(settings)
    model, co_visitation = report.results["session_transformer"], report.results["co_visitation"]
    assert model.questions == co_visitation.questions > 50
    # Nobody can know the step from the first event: that question, about one in five, is a coin toss.
    assert model.ndcg_at_10 > 0.9
    assert model.ndcg_at_10 > co_visitation.ndcg_at_10 + 0.05
    assert co_visitation.ndcg_at_10 > report.results["popularity"].ndcg_at_10
    assert json.loads(json.dumps(report.to_dict()))["seen_items_excluded"] is True


def test_evaluation_uses_only_sessions_the_run_never_saw(settings: TrainingSettings) -> None:
    assert evaluate(settings).sessions == 40  # a test_share of 0.1 of 400
    newest = {event.session_id for event in planted_events()[-5:]}
    trained = set(_trained_sessions(settings))
    assert "session-0" in trained
    assert not newest & trained


def _trained_sessions(settings: TrainingSettings) -> list[str]:
    from training.data.preprocess import EncodedSessions

    visits = EncodedSessions.load(open_run(settings).sessions_file).session_ids
    return [visit.rpartition("/")[0] for visit in visits]


def test_same_seed_gives_same_weights(settings: TrainingSettings) -> None:
    first, second = (load_model(short(settings).run).state_dict() for _ in range(2))
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_resumed_run_ends_as_an_uninterrupted_one(settings: TrainingSettings) -> None:
    whole = short(settings)

    def interrupt(report: EpochReport) -> None:
        if report.epoch == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        short(settings, progress=interrupt)
    torch.rand(3)  # the process that resumes has other random numbers behind it
    reports: list[int] = []
    resumed = short(settings, resume=True, progress=lambda report: reports.append(report.epoch))
    assert reports == [3, 4]
    assert resumed.run != whole.run
    assert (resumed.validation, resumed.best_epoch) == (whole.validation, whole.best_epoch)
    expected, found = load_model(whole.run).state_dict(), load_model(resumed.run).state_dict()
    assert all(torch.equal(expected[name], found[name]) for name in expected)


def test_training_leaves_the_callers_random_numbers_alone(settings: TrainingSettings) -> None:
    torch.manual_seed(5)
    expected = torch.rand(4)
    torch.manual_seed(5)
    short(settings)
    assert torch.equal(torch.rand(4), expected)


def test_patience_stops_training(settings: TrainingSettings) -> None:
    config = dataclasses.replace(recipe("tiny"), max_epochs=50, patience=2)
    result = train(config, settings)
    assert result.stopped_by == "patience"
    assert result.epochs == result.best_epoch + 2
    assert json.loads(result.run.metrics_file.read_text())["best_epoch"] == result.best_epoch


def test_too_little_data_is_refused_with_a_word(tmp_path: Path) -> None:
    settings = TrainingSettings(nextclick_home=tmp_path)
    with pytest.raises(DataError, match="no events under"):
        train(recipe("tiny"), settings)
    write_archive(settings, planted_events(sessions=1))
    with pytest.raises(DataError, match="archive more sessions"):
        train(recipe("tiny"), settings)
    assert not list(settings.runs_path.iterdir()), "a run that cannot be resumed was left"


def test_missing_runs_are_named(settings: TrainingSettings, tmp_path: Path) -> None:
    with pytest.raises(RunError, match="nextclick train"):
        open_run(TrainingSettings(nextclick_home=tmp_path))
    with pytest.raises(RunError, match="nothing-here"):
        open_run(settings, "nothing-here")
    with pytest.raises(RunError, match="no run to resume"):
        train(recipe("tiny"), TrainingSettings(nextclick_home=tmp_path), resume=True)


def test_ring_answer() -> None:
    assert next_on_ring(["item-m", "item-o"]) == "item-a"
    assert next_on_ring(["item-o", "item-p"]) == "item-a"
