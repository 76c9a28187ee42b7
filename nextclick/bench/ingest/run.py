"""`nextclick bench ingest` from end to end: fill the topics, measure floors and consumer in turns, put it together."""

import os
import statistics
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from feature_repo.fields import now_ms
from nextclick.bench.child import run_in_child
from nextclick.bench.consumer_process import ConsumerProcess
from nextclick.bench.errors import BenchError
from nextclick.bench.ingest.backlog import BacklogRun, consume_backlog
from nextclick.bench.ingest.bare_loops import poll_bare, write_bare
from nextclick.bench.ingest.feast_push import push
from nextclick.bench.ingest.freshness import WARM_UP_SECONDS, Freshness, Pace, measure_freshness
from nextclick.bench.producing import fill
from nextclick.bench.sandbox import ALL_VIEWS, SESSIONS_ONLY, Sandbox
from nextclick.bench.simulator import Simulation, sessions_of_length
from nextclick.bench.workload import Workload, open_workload
from nextclick.interrupts import terminated_like_interrupted
from nextclick.progress import Steps
from nextclick.stack.addresses import KAFKA, REDIS, apply_to_environment
from nextclick.stack.ports import choose_ports
from streaming.settings import StreamingSettings

LENGTHS = (5, 50, 500)
_SESSIONS_AT_ONCE = 400
_FLOOR_EVENTS = 100_000
"""Most events of one measurement of the Redis floor, whose rows have to be made first."""

_SEVERAL_SAMPLES = 3
"""How many times the events of a sample are given to several processes."""

_LENGTH_TURNS = 2
"""How often in a round each session length is measured: their costs are compared, and machines have slow minutes."""

_JOINED_WITHIN_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Options:
    """What the verb can be asked for; counts are events."""

    dataset: str | None = None
    path: Path | None = None
    events: int | None = None
    sample: int = 300_000
    """Of each repeated measurement; the first ones of the backlog."""
    repeats: int = 3
    processes: int = 2
    length_events: int = 200_000
    push_events: int = 20_000
    rate: int = 2_000
    """Events a second of the paced run."""
    seconds: float = 20.0
    """Of the paced run."""
    seed: int = 4
    launcher: tuple[str, ...] = ()
    """Command that starts each consumer, given as its arguments, and becomes it."""


@dataclass(slots=True)
class Measured:
    """All that a run has seen, before any of it is judged."""

    workload: Workload
    readings: dict[str, list[float]]
    """Repeats by name."""
    long_run: BacklogRun
    freshness: Freshness
    settings: dict[str, Any]

    def median(self, name: str) -> float:
        """Of the repeats."""
        return statistics.median(self.readings[name])

    def least(self, name: str) -> float:
        """Of the repeats: for a cost, to which others on the machine can only add."""
        return min(self.readings[name])


class IngestBench:
    """One run in its sandbox. The methods measure one thing each, and are called in turns."""

    def __init__(self, options: Options, sandbox: Sandbox, workload: Workload, steps: Steps) -> None:
        self._options = options
        self._sandbox = sandbox
        self._workload = workload
        self._steps = steps
        self._partitions = max(StreamingSettings().topic_partitions, options.processes)
        self._readings: dict[str, list[float]] = defaultdict(list)
        self._simulation = Simulation(seed=options.seed)
        self._sample = min(options.sample, workload.count)

    def execute(self) -> Measured:
        """Fill the topics, measure in turns, and then the two long runs."""
        topic = self._fill("events", self._workload.count, self._workload.events(), self._partitions)
        lengths = {length: self._fill_sessions(length) for length in LENGTHS}
        run = None
        for number in range(1, self._options.repeats + 1):
            run = self._measure_once(topic, f"{number}/{self._options.repeats}")
            for _ in range(_LENGTH_TURNS):
                for length, length_topic in lengths.items():
                    self._measure_length(length, length_topic, number)
        if run is None or self._workload.count > self._sample:
            run = self._consume("the whole backlog", topic, self._workload.count, ALL_VIEWS)
        return Measured(self._workload, dict(self._readings), run, self._measure_freshness(), self._describe())

    # --- backlogs -----------------------------------------------------------------------------------------------

    def _fill(self, name: str, count: int, events: Iterator[Any], partitions: int) -> str:
        self._steps.begin(f"send {name}", count)
        topic = self._sandbox.kafka.topic(name, partitions)
        sent = fill(StreamingSettings(), topic, events, self._steps.advance)
        if self._sandbox.kafka.messages(topic) != sent:
            raise BenchError(f"Kafka has another number of events than the {sent} sent to {topic}")
        return topic

    def _fill_sessions(self, length: int) -> str:
        count = self._options.length_events
        at_once = max(1, min(_SESSIONS_AT_ONCE, count // max(LENGTHS)))
        events = sessions_of_length(length, count, now_ms(), at_once)
        return self._fill(f"sessions-of-{length}", count, events, 1)

    # --- one round of repeats ---------------------------------------------------------------------------------------

    def _measure_once(self, topic: str, number: str) -> BacklogRun:
        self._bare_kafka(topic, number)
        self._bare_redis("bare_redis", topic, SESSIONS_ONLY, number)
        self._one_and_several("sessions", "", topic, SESSIONS_ONLY, number)
        self._bare_redis("bare_redis_all_views", topic, ALL_VIEWS, number)
        everything = self._one_and_several("all views", "_all_views", topic, ALL_VIEWS, number)
        self._feast_push(topic, number)
        return everything

    def _one_and_several(self, title: str, suffix: str, topic: str, views: dict[str, str], number: str) -> BacklogRun:
        """One process, and then several, whose ratio thus is of the same minute."""
        processes = self._options.processes
        one = self._consume(f"consumer, {title} {number}", topic, self._sample, views)
        # The first to join works alone until the group deals its partitions again, up to a second: hence a longer run.
        target = min(_SEVERAL_SAMPLES * self._sample, self._workload.count)
        several = self._consume(f"{processes} consumers, {title} {number}", topic, target, views, processes)
        for name, value in (
            ("events_per_s", one.events_per_s),
            ("cpu_us_per_event", one.cpu_us_per_event),
            ("several_processes_events_per_s", several.events_per_s),
            ("several_processes_cpu_us_per_event", several.cpu_us_per_event),
            ("process_ratio", several.events_per_s / one.events_per_s),
            ("process_ratio_limit", len(os.sched_getaffinity(0)) / one.busy_cores),
        ):
            self._readings[name + suffix].append(value)
        return one

    def _bare_kafka(self, topic: str, number: str) -> None:
        self._steps.begin(f"bare Kafka loop {number}")
        result = run_in_child(poll_bare, self._sandbox.settings(topic), self._sample)
        self._readings["bare_kafka_events_per_s"].append(result["events"] / result["seconds"])

    def _bare_redis(self, name: str, topic: str, views: dict[str, str], number: str) -> None:
        self._steps.begin(f"{name.replace('_', ' ')} writer {number}")
        self._sandbox.database.flush()
        result = run_in_child(write_bare, self._sandbox.settings(topic, **views), min(self._sample, _FLOOR_EVENTS))
        self._readings[f"{name}_events_per_s"].append(result["events"] / result["seconds"])
        self._readings[f"{name}_rows_per_s"].append(result["rows"] / result["seconds"])
        self._readings[f"{name}_rows_per_event"].append(result["rows"] / result["events"])
        self._readings[f"{name}_bytes_per_row"].append(result["bytes"] / result["rows"])

    def _feast_push(self, topic: str, number: str) -> None:
        self._steps.begin(f"FeatureStore.push {number}")
        self._sandbox.database.flush()
        settings = self._sandbox.settings(topic, **SESSIONS_ONLY)
        result = run_in_child(push, settings, min(self._options.push_events, self._workload.count))
        self._readings["feast_push_events_per_s"].append(result["events"] / result["push_seconds"])
        self._readings["feast_push_rows_per_s"].append(result["rows"] / result["push_seconds"])
        self._readings["write_alone_events_per_s"].append(result["events"] / result["write_seconds"])

    def _measure_length(self, length: int, topic: str, number: int) -> None:
        count = self._sandbox.kafka.messages(topic)
        run = self._consume(f"sessions of {length} {number}/{self._options.repeats}", topic, count, SESSIONS_ONLY)
        self._readings[f"cpu_us_at_length_{length}"].append(run.cpu_us_per_event)
        self._readings[f"wall_us_at_length_{length}"].append(run.wall_us_per_event)

    def _consume(self, title: str, topic: str, target: int, views: dict[str, str], processes: int = 1) -> BacklogRun:
        self._steps.begin(title, target)
        launcher = self._options.launcher
        return consume_backlog(self._sandbox, topic, target, views, processes, self._steps.advance, launcher)

    # --- freshness ---------------------------------------------------------------------------------------------------

    def _measure_freshness(self) -> Freshness:
        options, sandbox = self._options, self._sandbox
        pace = Pace(self._simulation, options.rate, options.seconds)
        self._steps.begin(f"freshness at {options.rate} events/s", int(options.seconds + WARM_UP_SECONDS))
        sandbox.database.flush()
        topic, group = sandbox.kafka.topic("paced", self._partitions), sandbox.kafka.group()
        port = str(choose_ports(sandbox.folder / "ports.json", ["metrics"])["metrics"])
        variables = sandbox.variables(topic, group, **ALL_VIEWS) | {"METRICS_PORT": port}
        with ConsumerProcess(variables, sandbox.folder / f"{group}.log", options.launcher) as consumer:
            self._wait_until_joined(group, consumer)
            freshness = measure_freshness(sandbox.settings(topic), pace, consumer, self._steps.advance)
        sandbox.check_dead_letters()
        return freshness

    def _wait_until_joined(self, group: str, consumer: ConsumerProcess) -> None:
        give_up = time.monotonic() + _JOINED_WITHIN_SECONDS
        while not self._sandbox.kafka.has_members(group, 1):
            consumer.usage()  # raises once it has ended
            if time.monotonic() > give_up:
                raise BenchError(f"the consumer did not join its group: {consumer.last_line()}")
            time.sleep(0.1)

    def _describe(self) -> dict[str, Any]:
        settings, options = StreamingSettings(), self._options
        return {
            "topic_partitions": self._partitions,
            "consumer_batch_size": settings.consumer_batch_size,
            "hot_events": settings.hot_events,
            "sample": self._sample,
            "repeats": options.repeats,
            "processes": options.processes,
            "rate": options.rate,
            "seconds": options.seconds,
            "length_events": options.length_events,
            "push_events": options.push_events,
            "seed": options.seed,
            "launcher": list(options.launcher),
        }


def run_ingest(options: Options, steps: Steps, judge: Callable[[Measured, Sandbox], dict[str, Any]]) -> dict[str, Any]:
    """Measure on the stack of the environment, or on one that ends with the run; what `judge` makes of it.

    Raises NextclickError.
    """
    with terminated_like_interrupted(), _stack(steps):
        workload = _read(options, steps)
        steps.begin("create topics, apply Feast definitions")
        with Sandbox(StreamingSettings()) as sandbox:
            measured = IngestBench(options, sandbox, workload, steps).execute()
            result = judge(measured, sandbox)
            steps.begin("remove topics, groups and rows")
        return result


def _read(options: Options, steps: Steps) -> Workload:
    if options.dataset:
        steps.begin(f"read {options.dataset}")
    return open_workload(options.dataset, options.path, options.events, Simulation(seed=options.seed), steps.note)


@contextmanager
def _stack(steps: Steps) -> Iterator[None]:
    """Kafka and Redis as the environment names them; what is missing is started, and ended after the block."""
    from nextclick.stack.lifecycle import up

    steps.begin("start Kafka and Redis")
    with ExitStack() as running:
        running.enter_context(up(("kafka", "redis"), progress=lambda part, doing: steps.note(f"{part}: {doing}")))
        apply_to_environment(require=(KAFKA, REDIS))
        yield
