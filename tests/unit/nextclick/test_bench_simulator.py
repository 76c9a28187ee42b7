"""The simulator's stream: the same each time, and what it says it is."""

import tracemalloc
from collections import Counter, defaultdict
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest
from kafka.consumer.fetcher import ConsumerRecord

from feature_repo.schema import Event, EventType
from nextclick.bench.errors import BenchError
from nextclick.bench.simulator import Simulation, sessions_of_length, simulate
from nextclick.bench.workload import open_workload
from streaming.events.parser import event_to_json, parse_record

NEWEST_MS = 1_800_000_000_000
SIMULATION = Simulation(items=500, users=100, active_sessions=50)


def _events(count: int = 5_000, **changes: int) -> list[Event]:
    simulation = Simulation(**{"items": 500, "users": 100, "active_sessions": 50} | changes)
    return list(simulate(simulation, count, NEWEST_MS))


def test_same_seed_same_events() -> None:
    assert _events() == _events()
    assert _events(seed=5) != _events()


def test_has_as_many_as_asked_and_all_are_valid() -> None:
    events = _events()
    assert len(events) == 5_000
    arrived_ms = 0
    for event in events:
        arrived_ms = max(arrived_ms, event.timestamp_ms)
        assert parse_record(_record(event, arrived_ms)) == event


def test_is_late_and_repeated_and_of_every_type() -> None:
    events = _events()
    ids = Counter(event.event_id for event in events)
    repeated = len(events) - len(ids)
    assert 0.01 < repeated / len(events) < 0.06
    times = [event.timestamp_ms for event in events]
    late = sum(after < before - 1_000 for before, after in pairwise(times))
    assert 0.02 < late / len(events) < 0.12
    assert {event.event_type for event in events} == set(EventType)
    assert max(times) <= NEWEST_MS
    assert min(times) > NEWEST_MS - 5_000 * SIMULATION.step_ms - 2 * SIMULATION.longest_delay_ms


def test_popular_items_and_users_with_several_sessions() -> None:
    events = _events()
    items = Counter(event.item_id for event in events).most_common()
    assert items[0][1] > 20 * items[-1][1]
    sessions = defaultdict(set)
    for event in events:
        if event.user_id:
            sessions[event.user_id].add(event.session_id)
    assert max(map(len, sessions.values())) > 2
    assert all(length <= SIMULATION.longest_session for length in _lengths(events).values())


def test_memory_does_not_grow_with_the_stream() -> None:
    def peak(count: int) -> int:
        tracemalloc.start()
        for _ in simulate(SIMULATION, count, NEWEST_MS):
            pass
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return most

    assert peak(40_000) < 1.3 * peak(10_000)


@pytest.mark.parametrize("length", [5, 50, 500])
def test_sessions_have_the_length_that_was_asked_for(length: int) -> None:
    events = list(sessions_of_length(length, 20_000, NEWEST_MS, 20))
    assert len(events) == len({event.event_id for event in events}) == 20_000
    lengths = _lengths(events)
    assert max(lengths.values()) == length
    whole = sum(count for count in lengths.values() if count == length)
    assert whole > 0.4 * len(events)
    assert len({event.session_id for event in events[:20]}) == 20


def test_path_without_format_is_an_error() -> None:
    with pytest.raises(BenchError, match="--dataset"):
        open_workload(None, Path("somewhere"), None, SIMULATION)


def test_workload_can_be_read_again() -> None:
    workload = open_workload(None, None, 100, SIMULATION)
    first: Iterator[Event] = workload.events()
    assert list(first) == list(workload.events())
    assert workload.count == 100


def _lengths(events: list[Event]) -> Counter[str]:
    ids = {event.event_id: event.session_id for event in events}
    return Counter(ids.values())


def _record(event: Event, arrived_ms: int) -> ConsumerRecord:
    key, value = event.session_id.encode(), event_to_json(event)
    return ConsumerRecord("events", 0, 0, 0, arrived_ms, 0, key, value, [], None, len(key), len(value), -1)
