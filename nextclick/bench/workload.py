"""The events of a run, from the simulator or a public data set, in the order of arrival."""

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from feature_repo.fields import now_ms
from feature_repo.schema import Event
from nextclick.bench.errors import BenchError
from nextclick.bench.simulator import NAME, Simulation, simulate
from nextclick.datasets.dataset import shift_to_now
from nextclick.datasets.formats import load

NEWEST_EVENT_AGE_MS = 60_000
"""Age of the newest event when a run begins."""

DEFAULT_EVENTS = 300_000


@dataclass(frozen=True, slots=True)
class Workload:
    """`events` may be called any number of times and gives the same ones each time."""

    name: str
    count: int
    events: Callable[[], Iterator[Event]]
    description: dict[str, Any]


def open_workload(
    dataset: str | None,
    path: Path | None,
    events: int | None,
    simulation: Simulation,
    note: Callable[[str], None] = lambda _: None,
) -> Workload:
    """A data set of that format, moved in time so that it ends now, or without one the simulator's events.

    Raises DatasetError, and BenchError for a path of nothing.
    """
    if path and not dataset:
        raise BenchError("--path: say with --dataset which format lies there")
    newest_at_ms = now_ms() - NEWEST_EVENT_AGE_MS
    if dataset is None:
        count = events or DEFAULT_EVENTS
        return Workload(NAME, count, lambda: simulate(simulation, count, newest_at_ms), {**asdict(simulation)})
    loaded = load(dataset, path, events, note)
    shifted = shift_to_now(loaded.events, newest_at_ms)
    description = {"items": loaded.item_count, "sessions": loaded.session_count, "licence": loaded.licence}
    return Workload(dataset, loaded.event_count, lambda: iter(shifted), description)
