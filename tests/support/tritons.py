"""Tritons of a test's own, started as the chart starts them, beside the one of the stack."""

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tritonclient.grpc import InferenceServerClient
from tritonclient.utils import InferenceServerException

from nextclick.stack.settings import StackSettings
from nextclick.stack.triton import Triton, remove_shared_memory

AS_IN_THE_CHART = ("--load-model=*", "--exit-on-error=false", "--strict-readiness=true")
START_SECONDS = 120.0


@dataclass(frozen=True, slots=True)
class RunningTriton:
    """Where it listens and what it reads; `process` to end it."""

    triton_grpc_url: str
    model_repository: Path
    process: "subprocess.Popen[bytes]"

    def stop(self) -> None:
        """End it, at once if it does not end by itself, and with it what a Triton that was killed leaves behind."""
        self.process.terminate()
        with suppress(subprocess.TimeoutExpired):
            self.process.wait(timeout=20)
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


@contextmanager
def running_triton(home: Path, repository: Path) -> Iterator[RunningTriton]:
    """A Triton that is ready, with a folder of its own; several may read one repository."""
    home.mkdir(parents=True, exist_ok=True)
    (home / "triton").mkdir(exist_ok=True)
    spec = Triton(StackSettings(nextclick_home=home, model_repository=repository)).service()
    with (home / "triton.log").open("wb") as log:
        process = subprocess.Popen(
            [*spec.argv, *AS_IN_THE_CHART],
            env=dict(spec.env),
            cwd=spec.cwd,
            stdout=log,
            stderr=log,
            start_new_session=True,  # a group of its own, its backends included
        )
    running = RunningTriton(spec.address, repository, process)
    try:
        wait_until_ready(running, home / "triton.log")
        yield running
    finally:
        running.stop()
        remove_shared_memory(home)


def wait_until_ready(running: RunningTriton, log: Path) -> None:
    with closing(InferenceServerClient(running.triton_grpc_url)) as client:
        deadline = time.monotonic() + START_SECONDS
        while not is_ready(client):
            assert running.process.poll() is None, f"Triton ended:\n{log.read_text()[-3000:]}"
            assert time.monotonic() < deadline, f"Triton is not ready:\n{log.read_text()[-3000:]}"
            time.sleep(0.1)


def is_ready(client: Any) -> bool:
    try:
        return bool(client.is_server_ready(client_timeout=2))
    except InferenceServerException:
        return False
