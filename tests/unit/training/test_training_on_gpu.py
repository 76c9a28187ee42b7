"""What training does on a GPU: learn in bfloat16, resume to the same weights, export what it learnt."""

import dataclasses

import pytest
import torch

from tests.support.planted_sessions import planted_events, write_archive
from training.config import recipe
from training.evaluation.evaluate import evaluate
from training.export.ensemble import export
from training.runs import load_model
from training.settings import TrainingSettings
from training.train import EpochReport, train

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU that PyTorch can use")

SHORT = dataclasses.replace(recipe("tiny"), max_epochs=4, model=dataclasses.replace(recipe("tiny").model, dropout=0.2))


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> TrainingSettings:
    home = tmp_path_factory.mktemp("gpu")
    settings = TrainingSettings(nextclick_home=home, model_repository=home / "model_repository", device="cuda")
    write_archive(settings, planted_events())
    return settings


def test_planted_sessions_are_solved_and_exported(settings: TrainingSettings) -> None:
    result = train(recipe("tiny"), settings)
    on_gpu = evaluate(settings).results["session_transformer"]
    on_cpu = evaluate(settings.model_copy(update={"device": "cpu"})).results["session_transformer"]
    assert on_gpu.ndcg_at_10 > 0.9
    assert on_gpu.ndcg_at_10 == pytest.approx(on_cpu.ndcg_at_10, abs=0.01)
    assert export(settings).run_name == result.run.name  # checked against torch on the CPU


def test_resumed_run_ends_as_an_uninterrupted_one(settings: TrainingSettings) -> None:
    whole = train(SHORT, settings)

    def interrupt(report: EpochReport) -> None:
        if report.epoch == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(SHORT, settings, progress=interrupt)
    torch.rand(3, device="cuda")  # the process that resumes has other random numbers behind it
    resumed = train(SHORT, settings, resume=True)
    expected, found = load_model(whole.run).state_dict(), load_model(resumed.run).state_dict()
    assert all(torch.equal(expected[name], found[name]) for name in expected)
