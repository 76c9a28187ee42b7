"""What `test_training_torchrun` has torchrun start: trains runs one after the other and leaves what each process has.

`python torchrun_member.py HOME OUT RUN…`; a run of the name `interrupted` loses its first process after two epochs.
"""

import sys
import time
from pathlib import Path

import torch

from training.distributed import join_team
from training.runs import open_run
from training.settings import TrainingSettings
from training.train import EpochReport, Trainer


def main(home: Path, out: Path, names: list[str]) -> None:
    settings = TrainingSettings(nextclick_home=home, device="cpu")
    with join_team("cpu") as team:
        for name in names:
            run = open_run(settings, name)
            torch.manual_seed(run.config.seed)
            trainer = Trainer(run, run.config, team)
            trainer.fit(interrupt if name == "interrupted" else None, time.monotonic())
            left = {
                "weights": trainer.model.state_dict(),
                "gradients": {key: value.grad for key, value in trainer.model.named_parameters()},
                "losses": [epoch["loss"] for epoch in trainer.state.history],
                "size": team.size,
            }
            torch.save(left, out / f"{name}-{team.rank}.pt")


def interrupt(report: EpochReport) -> None:
    if report.epoch == 2:
        raise KeyboardInterrupt


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3:])
