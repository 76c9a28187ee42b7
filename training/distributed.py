"""Processes that train one model together, as torchrun starts them; a process alone needs none of this.

Every batch is split among them and the gradients are added up, so that N processes make the steps that one would make.
What only one may do (read the archive, write the run, decide when to stop) the first does while the others wait.
"""

import json
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar

import torch
import torch.distributed as dist

from training.errors import FirstProcessError, TeamError
from training.models.session_transformer import pick_device

T = TypeVar("T")

STEP_LIMIT = timedelta(minutes=15)
"""Longest that processes wait for each other to start, and in a step of training."""
FIRST_LIMIT = timedelta(days=1)
"""Longest that the others wait for what the first does alone."""

LOST = "a process that trains with this one is gone: see what it said, then `nextclick train --resume newest`"


def is_first_process() -> bool:
    """Whether this process is the one that writes and prints; true without torchrun."""
    return int(os.environ.get("RANK", "0")) == 0


@dataclass(frozen=True, slots=True)
class Team:
    """The processes that train together, `size` of them, seen by the one numbered `rank` on its `device`."""

    device: torch.device
    rank: int = 0
    size: int = 1
    waiting: Any = None
    """Process group of what the first does alone: CPU tensors, long patience. None for a process alone."""

    @property
    def is_first(self) -> bool:
        return self.rank == 0

    @property
    def is_alone(self) -> bool:
        return self.size == 1

    def first(self, work: Callable[[], T]) -> T:
        """Let the first process do it while the others wait; its result, which JSON must be able to carry, in each.

        What it raises in the first process is raised there, and FirstProcessError in the others.
        """
        if self.is_alone:
            return work()
        outcome = None
        try:
            if self.is_first:
                outcome = [work()]
        finally:
            outcome = self.share(outcome)
        if outcome is None:
            raise FirstProcessError("the first process failed and says why")
        return outcome[0]

    def share(self, value: T) -> T:
        """The first process' value, in every process; anything that JSON can carry."""
        if self.is_alone:
            return value
        text = json.dumps(value).encode() if self.is_first else b""
        length = torch.tensor([len(text)])
        with _explained():
            dist.broadcast(length, 0, self.waiting)
            content = torch.zeros(int(length), dtype=torch.uint8)
            if self.is_first:
                content = torch.frombuffer(bytearray(text), dtype=torch.uint8)
            dist.broadcast(content, 0, self.waiting)
        result: T = json.loads(content.numpy().tobytes())
        return result

    def total(self, tensor: torch.Tensor) -> torch.Tensor:
        """The sum over the processes, the same to the last bit in each."""
        if not self.is_alone:
            with _explained():
                dist.all_reduce(tensor)
        return tensor

    def add_gradients(self, parameters: Iterable[torch.nn.Parameter]) -> None:
        """Replace each gradient by its sum over the processes; one without a gradient here counts as zero."""
        parameters = list(parameters)
        zeros = (torch.zeros_like(p) if p.grad is None else p.grad for p in parameters)
        sums = self.total(torch.cat([gradient.flatten() for gradient in zeros]))
        for parameter, total in zip(parameters, sums.split([p.numel() for p in parameters]), strict=True):
            parameter.grad = total.view_as(parameter)


@contextmanager
def join_team(device_name: str) -> Iterator[Team]:
    """The team that torchrun's variables describe, for the time of the block; alone where WORLD_SIZE is not above 1.

    Raises TeamError when the others are not there, or when this machine has fewer GPUs than processes.
    """
    size = int(os.environ.get("WORLD_SIZE", "1"))
    if size == 1:
        yield Team(pick_device(device_name))
        return
    if missing := [name for name in ("RANK", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT") if name not in os.environ]:
        raise TeamError(f"WORLD_SIZE is {size}, but {missing[0]} is not set: start several processes with torchrun")
    device = _device(device_name, int(os.environ["LOCAL_RANK"]))
    backend = "cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo"
    meeting = f"{size} processes that train together at {os.environ['MASTER_ADDR']}:{os.environ['MASTER_PORT']}"
    with _explained(f"not all of {meeting} are there"):
        dist.init_process_group(backend, timeout=STEP_LIMIT)
        waiting = dist.new_group(backend="gloo", timeout=FIRST_LIMIT)
    yield Team(device, dist.get_rank(), size, waiting)
    dist.destroy_process_group()  # not after an error: that would wait for others, who may be gone


def _device(name: str, local_rank: int) -> torch.device:
    device = pick_device(name)
    if device.type == "mps":
        raise TeamError("several processes train on cuda or cpu: set DEVICE=cpu")
    if device.type != "cuda":
        return device
    if local_rank >= torch.cuda.device_count():
        found = torch.cuda.device_count()
        raise TeamError(f"more processes than GPUs here: start torchrun with --nproc-per-node={found}")
    torch.cuda.set_device(local_rank)
    return torch.device("cuda", local_rank)


@contextmanager
def _explained(problem: str = LOST) -> Iterator[None]:
    try:
        yield
    except RuntimeError as error:  # torch.distributed's errors are no narrower
        raise TeamError(f"{problem} ({str(error).splitlines()[0]})") from error
