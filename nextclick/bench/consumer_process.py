"""A real consumer, `python -m streaming consumer`, as a container would start it, seen from outside."""

import os
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterable, Sequence
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Self

import psutil
from prometheus_client.parser import text_string_to_metric_families

from nextclick.bench.errors import BenchError
from nextclick.bench.sandbox import child_environment
from nextclick.interrupts import interrupted_after
from nextclick.stack.ports import HOST
from nextclick.stack.processes import tie_to_this_process

_STOP_SECONDS = 15.0


class Usage(NamedTuple):
    """What a process has used so far, and holds now."""

    cpu_seconds: float
    rss_mb: float


class ConsumerProcess:
    """Runs until the end of the block, where it leaves its group in an orderly way.

    A `launcher` is a command that starts it, given as its arguments, and becomes it (`taskset -c 0`).
    """

    def __init__(self, variables: dict[str, str], log: Path, launcher: Sequence[str] = ()) -> None:
        self._log = log
        self._metrics_port = variables["METRICS_PORT"]
        with log.open("wb") as file, interrupted_after(self.stop):
            self._process = subprocess.Popen(
                [*launcher, sys.executable, "-m", "streaming", "consumer"],
                env=child_environment(variables),
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # Ctrl-C in a terminal is for us, and we stop it
                preexec_fn=tie_to_this_process(),
            )
        self._usage = psutil.Process(self._process.pid)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def usage(self) -> Usage:
        """CPU time and memory. Raises BenchError, with the last line of its log, if it has ended."""
        if self._process.poll() is not None:
            raise BenchError(f"the consumer ended with code {self._process.returncode}: {self.last_line()}")
        times = self._usage.cpu_times()
        return Usage(times.user + times.system, self._usage.memory_info().rss / 2**20)

    def histogram(self, name: str) -> list[tuple[float, float]]:
        """Cumulative buckets (upper bound, count) of one of its metrics. Raises BenchError."""
        try:
            with urllib.request.urlopen(f"http://{HOST}:{self._metrics_port}/metrics", timeout=5) as answer:
                text = answer.read().decode()
        except OSError as error:
            raise BenchError(f"the consumer's metrics do not answer: {error}; {self.last_line()}") from error
        families = {family.name: family for family in text_string_to_metric_families(text)}
        return [
            (float(sample.labels["le"]), sample.value)
            for sample in families[name].samples
            if sample.name == f"{name}_bucket"
        ]

    def last_line(self) -> str:
        """Of its log."""
        lines = self._log.read_text(errors="replace").strip().splitlines()
        return lines[-1] if lines else "it said nothing"

    def stop(self) -> None:
        """End it, by force if it does not go by itself."""
        try:
            self._process.send_signal(signal.SIGTERM)
            self._process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()


def total(usages: Iterable[Usage]) -> Usage:
    """Of several processes together."""
    used = list(usages)
    return Usage(sum(usage.cpu_seconds for usage in used), sum(usage.rss_mb for usage in used))
