"""How fast consumer processes work off a backlog, read from the offsets that their group commits.

The clock starts at the first commit seen after all members have joined and ends at the commit that reaches the last
event wanted; events before the start do not count. Process start, imports, the join and the first batches are thus
left out, and the offsets are asked for every 100 ms, so both ends are late by the same on average.
"""

import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import NamedTuple

import psutil

from nextclick.bench.consumer_process import ConsumerProcess, total
from nextclick.bench.errors import BenchError
from nextclick.bench.sandbox import Sandbox

POLL_SECONDS = 0.1
_STALLED_SECONDS = 90.0


class Sample(NamedTuple):
    """One look at a run."""

    at: float
    """Reading of time.monotonic()."""
    committed: int
    """Events, over all partitions."""
    cpu_seconds: float
    rss_mb: float
    busy_seconds: float = 0.0
    """CPU time of everything on the machine."""


@dataclass(frozen=True, slots=True)
class BacklogRun:
    """What was seen while a backlog was worked off; samples without any progress at the start are left out but one."""

    samples: list[Sample]
    start: int
    """Position of the sample at which the clock starts."""

    @property
    def events(self) -> int:
        """Those that the clock saw."""
        return self.samples[-1].committed - self.samples[self.start].committed

    @property
    def seconds(self) -> float:
        """Wall-clock."""
        return self.samples[-1].at - self.samples[self.start].at

    @property
    def events_per_s(self) -> float:
        """Committed."""
        return self.events / self.seconds

    @property
    def cpu_us_per_event(self) -> float:
        """CPU time of all consumer processes together, in microseconds."""
        return (self.samples[-1].cpu_seconds - self.samples[self.start].cpu_seconds) / self.events * 1e6

    @property
    def busy_cores(self) -> float:
        """Of the whole machine, on average: those of the consumers, the servers, and whatever else there was."""
        return (self.samples[-1].busy_seconds - self.samples[self.start].busy_seconds) / self.seconds

    @property
    def wall_us_per_event(self) -> float:
        """Wall-clock, in microseconds."""
        return self.seconds / self.events * 1e6


def consume_backlog(
    sandbox: Sandbox,
    topic: str,
    target: int,
    views: dict[str, str],
    processes: int = 1,
    advance: Callable[[int], None] = lambda _: None,
    launcher: Sequence[str] = (),
) -> BacklogRun:
    """Empty the database, then let processes of a new group read the topic until they have committed `target` events.

    Raises BenchError if a process ends, nothing moves for long, or events are rejected.
    """
    sandbox.database.flush()
    group = sandbox.kafka.group()
    with ExitStack() as running:
        consumers = [
            running.enter_context(
                ConsumerProcess(
                    sandbox.variables(topic, group, **views), sandbox.folder / f"{group}-{number}.log", launcher
                )
            )
            for number in range(processes)
        ]
        run = _Watch(sandbox, topic, group, consumers).until(target, advance)
    sandbox.check_dead_letters()
    if not sandbox.database.rows():
        raise BenchError("the consumer committed events without writing a row")
    return run


class _Watch:
    def __init__(self, sandbox: Sandbox, topic: str, group: str, consumers: list[ConsumerProcess]) -> None:
        self._kafka = sandbox.kafka
        self._group = group
        self._partitions = sandbox.kafka.partitions(topic)
        self._consumers = consumers
        self._joined_at: float | None = None
        self._samples: list[Sample] = []
        self._moved_at = time.monotonic()

    def until(self, target: int, advance: Callable[[int], None]) -> BacklogRun:
        """Look again and again until so many events are committed. Raises BenchError."""
        while not self._samples or self._samples[-1].committed < target:
            time.sleep(POLL_SECONDS)
            sample = self._look()
            advance(sample.committed)
            if sample.at - self._moved_at > _STALLED_SECONDS:
                raise BenchError(
                    f"nothing moves at {sample.committed} of {target} events: {self._consumers[0].last_line()}"
                )
        return BacklogRun(self._samples, start_of(self._samples, self._joined_at))

    def _look(self) -> Sample:
        if self._joined_at is None and self._kafka.has_members(self._group, len(self._consumers)):
            self._joined_at = time.monotonic()
        committed = self._kafka.committed(self._group, self._partitions)
        sample = Sample(
            time.monotonic(), committed, *total(consumer.usage() for consumer in self._consumers), _busy_seconds()
        )
        if not committed:
            self._samples.clear()
        elif not self._samples or committed > self._samples[-1].committed:
            self._moved_at = sample.at
        self._samples.append(sample)
        return sample


def _busy_seconds() -> float:
    times = psutil.cpu_times()
    return float(sum(times[:7]) - times.idle - times.iowait)  # what guests take is part of it already


def start_of(samples: list[Sample], joined_at: float | None) -> int:
    """The sample at which the clock starts.

    A backlog so small that half of it was gone by then is timed from the last look before its first commit: too long
    rather than too short.
    """
    target = samples[-1].committed
    for position, sample in enumerate(samples):
        if joined_at is not None and sample.at >= joined_at and sample.committed:
            return position if sample.committed <= target / 2 else 0
    return 0
