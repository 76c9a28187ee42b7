"""Two processes that torchrun starts must train the model that one would, and end together. On CPUs, over gloo."""

import dataclasses
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch

from nextclick.stack.ports import choose_ports
from tests.support.planted_sessions import planted_settings
from tests.support.project import PROJECT
from training.config import TrainingConfig, recipe
from training.data.dataset import training_windows
from training.distributed import Team, join_team
from training.errors import TeamError
from training.prepare import load_sessions
from training.runs import Run, open_run, write_json
from training.settings import TrainingSettings
from training.train import Trainer

TORCHRUN = Path(sys.executable).with_name("torchrun")
MEMBER = PROJECT / "tests" / "support" / "torchrun_member.py"


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> TrainingSettings:
    return planted_settings(tmp_path_factory)


def add_run(settings: TrainingSettings, name: str, **changes: Any) -> Run:
    """A run of that name with the data of the planted one, not trained yet."""
    plain = recipe("tiny")
    dropout = changes.pop("dropout", 0.0)
    config = dataclasses.replace(plain, model=dataclasses.replace(plain.model, dropout=dropout), **changes)
    run = Run(settings.runs_path / name)
    run.path.mkdir()
    for file in ("vocabulary.json", "sessions.npz"):
        shutil.copy(open_run(settings).path / file, run.path)
    write_json(run.config_file, config.to_dict())
    return run


@pytest.fixture(scope="module")
def windows(settings: TrainingSettings) -> int:
    run = open_run(settings)
    return len(training_windows(load_sessions(run, run.config)[0]).start)


@pytest.fixture(scope="module")
def together(settings: TrainingSettings, windows: int, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What two processes left of each run."""
    # The last batch is one row: the second process has nothing to do in it.
    uneven = next(size for size in range(32, windows) if windows % size == 1)
    add_run(settings, "step", max_epochs=1, batch_size=windows)
    add_run(settings, "plain", max_epochs=3, batch_size=uneven)
    for name in ("whole", "interrupted"):
        add_run(settings, name, max_epochs=4, dropout=0.2)
    out = tmp_path_factory.mktemp("together")
    names = ["step", "plain", "whole", "interrupted"]
    command = [str(MEMBER), str(settings.nextclick_home), str(out), *names]
    (ended,) = run_to_end([torchrun(out, *command)])
    assert ended.returncode != 0, "the interrupted run ended as if it had not been"
    assert "KeyboardInterrupt" in ended.stderr
    return out


def torchrun(folder: Path, *command: str, nodes: int = 1, node: int = 0) -> list[str]:
    """Two processes, on one node or, as in a cluster, one on each of two."""
    port = choose_ports(folder / "ports.json", ["torchrun"])["torchrun"]
    where = [f"--nnodes={nodes}", f"--node-rank={node}", "--master-addr=127.0.0.1", f"--master-port={port}"]
    return [str(TORCHRUN), *where, f"--nproc-per-node={2 // nodes}", *command]


def run_to_end(commands: list[list[str]], **environment: str) -> list[subprocess.CompletedProcess[str]]:
    env = {**os.environ, "PYTHONPATH": str(PROJECT), "DEVICE": "cpu", "GLOO_SOCKET_IFNAME": "lo", **environment}
    env["OMP_NUM_THREADS"] = "1"  # sums of another number of threads are rounded otherwise
    pipe = subprocess.PIPE
    running = [
        subprocess.Popen(command, env=env, cwd=PROJECT, stdout=pipe, stderr=pipe, text=True) for command in commands
    ]
    try:
        texts = [process.communicate(timeout=240) for process in running]
    finally:
        for process in running:
            process.kill()  # no more than a signal to one that has ended
            process.wait()
    return [
        subprocess.CompletedProcess(process.args, process.returncode, *text)
        for process, text in zip(running, texts, strict=True)
    ]


def left_by(together: Path, name: str) -> list[dict[str, Any]]:
    found = [torch.load(together / f"{name}-{rank}.pt", weights_only=True) for rank in range(2)]
    assert [left["size"] for left in found] == [2, 2]
    return found


def alone(settings: TrainingSettings, name: str, config: TrainingConfig) -> Trainer:
    """The same run, trained by this process alone."""
    run = add_run(settings, f"{name}-alone")
    with torch.random.fork_rng():
        torch.manual_seed(config.seed)
        trainer = Trainer(run, config, Team(torch.device("cpu")))
        trainer.fit(None, time.monotonic())
    return trainer


@pytest.mark.parametrize("name", ["step", "plain", "whole"])
def test_every_process_has_the_same_weights_to_the_last_bit(together: Path, name: str) -> None:
    first, second = left_by(together, name)
    assert all(torch.equal(first["weights"][key], second["weights"][key]) for key in first["weights"])
    assert first["losses"] == second["losses"]


def test_one_step_has_the_gradients_of_one_process(settings: TrainingSettings, together: Path) -> None:
    trainer = alone(settings, "step", Run(settings.runs_path / "step").config)
    for left in left_by(together, "step"):
        for key, parameter in trainer.model.named_parameters():
            torch.testing.assert_close(left["gradients"][key], parameter.grad, rtol=0, atol=1e-5)
        assert any(gradient.abs().max() > 1e-3 for gradient in left["gradients"].values())


def test_training_follows_that_of_one_process_though_the_last_batch_cannot_be_split(
    settings: TrainingSettings, together: Path
) -> None:
    trainer = alone(settings, "plain", Run(settings.runs_path / "plain").config)
    losses = left_by(together, "plain")[0]["losses"]
    assert losses == pytest.approx([epoch["loss"] for epoch in trainer.state.history], rel=1e-3)
    assert losses[2] < 0.9 * losses[0]


def test_a_run_that_lost_a_process_resumes_to_the_same_weights_on_two_nodes(
    settings: TrainingSettings, together: Path, tmp_path: Path
) -> None:
    command = ["-m", "nextclick", "train", "--resume", "interrupted"]
    commands = [torchrun(tmp_path, *command, nodes=2, node=node) for node in range(2)]
    first, second = run_to_end(commands, NEXTCLICK_HOME=str(settings.nextclick_home))
    assert (first.returncode, second.returncode) == (0, 0), first.stderr + second.stderr
    assert "interrupted" in first.stdout
    assert "interrupted" not in second.stdout, "a process that is not the first printed the result"
    expected, found = (
        torch.load(Run(settings.runs_path / name).checkpoint_file, weights_only=True)
        for name in ("whole", "interrupted")
    )
    assert found["state"] == expected["state"]
    assert all(torch.equal(found["model"][key], expected["model"][key]) for key in expected["model"])


def test_data_that_cannot_be_trained_on_ends_every_process_with_one_message(tmp_path: Path) -> None:
    command = ["-m", "nextclick", "train", "--recipe", "tiny"]
    commands = [torchrun(tmp_path, *command, nodes=2, node=node) for node in range(2)]
    first, second = run_to_end(commands, NEXTCLICK_HOME=str(tmp_path))
    assert first.returncode != 0
    assert second.returncode != 0
    assert (first.stderr + second.stderr).count("error: no events under") == 1
    assert (first.stderr + second.stderr).count("error:") == 1
    assert not list((tmp_path / "runs").iterdir())


def test_one_process_of_several_without_torchrun_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.delenv("RANK", raising=False)
    with pytest.raises(TeamError, match="RANK is not set: start several processes with torchrun"), join_team("cpu"):
        pass
