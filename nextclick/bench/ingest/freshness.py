"""From an event that happens to its row in Redis, while events keep coming at a steady rate.

The load is open: event number n is due at a time fixed beforehand, whatever became of those before it, and its wait
begins when it is due, even if the producer was late. A process of its own watches the rows of a few events a second
in Redis, asking only while one of them is due and not seen.
"""

import math
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from itertools import islice
from typing import NamedTuple

import redis
from kafka import KafkaProducer
from msgspec import structs

from feature_repo.fields import now_ms
from feature_repo.online.redis_layout import LAYOUTS, row_key
from feature_repo.redis_connection import redis_options
from feature_repo.schema import Event
from feature_repo.views import SESSION_EVENTS
from nextclick.bench.child import Child, Start
from nextclick.bench.consumer_process import ConsumerProcess
from nextclick.bench.errors import BenchError
from nextclick.bench.simulator import Simulation, simulate
from streaming.events.parser import event_to_json
from streaming.kafka.failures import open_client
from streaming.settings import StreamingSettings

HISTOGRAM = "nextclick_event_visible_seconds"
SAMPLES_PER_S = 50
WARM_UP_SECONDS = 2.0
_SEND_EVERY_SECONDS = 0.005
"""Events that became due meanwhile are sent together, as Kafka's own producer does it since 4.0; they wait from when
they were due. One by one, sending takes more of the machine than all that is measured."""

_WATCH_EVERY_SECONDS = 0.002
"""Adds as much to what is seen, at most. Watching closer takes the time of a core from what is watched."""

_SEEN_WITHIN_SECONDS = 30.0
_HEAD_START_SECONDS = 0.5
_PROGRESS_SECONDS = 0.5

_EVENT_IDS_FIELD = LAYOUTS[SESSION_EVENTS.name].fields[list(SESSION_EVENTS.features).index("event_ids")]


@dataclass(frozen=True, slots=True)
class Pace:
    """How many events a second, for how long, and the simulation that makes them."""

    simulation: Simulation
    rate: int
    seconds: float

    @property
    def count(self) -> int:
        """Events in all, those of the warm-up included."""
        return int(self.rate * (self.seconds + WARM_UP_SECONDS))

    @property
    def every(self) -> int:
        """One event of so many is watched."""
        return max(1, self.rate // SAMPLES_PER_S)

    def events(self) -> Iterator[Event]:
        """Without late and repeated ones, since what is watched has to become visible."""
        prompt = replace(self.simulation, late_share=0.0, repeated_share=0.0)
        return simulate(prompt, self.count, self.count * prompt.step_ms)

    def due(self, position: int) -> float:
        """Seconds after the beginning."""
        return position / self.rate


class Seen(NamedTuple):
    """One watched event."""

    second: float
    """When it was due, counted from the end of the warm-up."""
    ms: float
    """From then until it was seen in Redis."""


def send_paced(start: Start, settings: StreamingSettings, pace: Pace) -> list[float]:
    """Send each event when it is due; by how many milliseconds each was late."""
    events = list(pace.events())  # made beforehand, since making them takes longer than sending them
    producer = open_client(settings, KafkaProducer, acks="all", linger_ms=0, compression_type=None)
    producer.partitions_for(settings.events_topic)
    late_ms = []
    with closing(producer):
        begin = start()
        for position, event in enumerate(events):
            due = begin + pace.due(position)
            if due > time.monotonic():
                tick = begin + math.ceil(pace.due(position) / _SEND_EVERY_SECONDS) * _SEND_EVERY_SECONDS
                time.sleep(max(0.0, tick - time.monotonic()))
            late_ms.append((time.monotonic() - due) * 1000)
            now = structs.replace(event, timestamp_ms=now_ms())
            producer.send(settings.events_topic, key=event.session_id.encode(), value=event_to_json(now))
        producer.flush(_SEEN_WITHIN_SECONDS)
    return late_ms


def watch_rows(start: Start, settings: StreamingSettings, pace: Pace) -> list[Seen]:
    """Wait for every watched event to stand in its session's row. Raises BenchError if one never does."""
    every = pace.every
    watched = [
        (row_key(SESSION_EVENTS, event.session_id), event.event_id.encode(), pace.due(number * every))
        for number, event in enumerate(islice(pace.events(), 0, None, every))
    ]
    with closing(redis.Redis.from_url(**redis_options(settings))) as client:
        client.ping()
        return _watch(client, watched, start())


def _watch(client: "redis.Redis", watched: list[tuple[bytes, bytes, float]], begin: float) -> list[Seen]:
    waiting: list[tuple[bytes, bytes, float]] = []
    coming = iter([*watched, (b"", b"", float("inf"))])
    upcoming = next(coming)
    seen: list[Seen] = []
    while len(seen) < len(watched):
        now = time.monotonic() - begin
        while upcoming[2] <= now:
            waiting.append(upcoming)
            upcoming = next(coming)
        if not waiting:
            time.sleep(max(0.0, upcoming[2] - now))
            continue
        arrived = _arrived(client, waiting)
        now = time.monotonic() - begin
        seen += (Seen(due - WARM_UP_SECONDS, (now - due) * 1000) for _, _, due in arrived)
        waiting = [event for event in waiting if event not in arrived]
        if waiting and now - waiting[0][2] > _SEEN_WITHIN_SECONDS:
            raise BenchError(f"an event was not in Redis {_SEEN_WITHIN_SECONDS:.0f} s after it was due")
        time.sleep(_WATCH_EVERY_SECONDS)
    return [event for event in seen if event.second >= 0]


def _arrived(client: "redis.Redis", waiting: list[tuple[bytes, bytes, float]]) -> list[tuple[bytes, bytes, float]]:
    pipeline = client.pipeline(transaction=False)
    for key, _, _ in waiting:
        pipeline.hget(key, _EVENT_IDS_FIELD)  # type: ignore[arg-type]
    rows = pipeline.execute()
    return [event for event, row in zip(waiting, rows, strict=True) if row and event[1] in row]


class Freshness(NamedTuple):
    """One paced run."""

    seen: list[Seen]
    producer_late_ms: list[float]
    consumer_cpu: float
    """Share of one core that the consumer used after the warm-up."""
    histogram: list[tuple[float, float]]
    """The consumer's own, from a message's arrival in Kafka until its row is written: (upper bound in s, events)."""


def measure_freshness(
    settings: StreamingSettings, pace: Pace, consumer: ConsumerProcess, advance: Callable[[int], None]
) -> Freshness:
    """Run one paced load against a consumer that has joined its group; `advance` gets seconds. Raises BenchError."""
    with Child(send_paced, settings, pace) as sender, Child(watch_rows, settings, pace) as watcher:
        for child in (sender, watcher):
            child.wait_ready()
        begin = time.monotonic() + _HEAD_START_SECONDS
        for child in (sender, watcher):
            child.begin(begin)
        time.sleep(max(0.0, begin + WARM_UP_SECONDS - time.monotonic()))
        before, used_before, measured_at = consumer.histogram(HISTOGRAM), consumer.usage(), time.monotonic()
        while not (sender.is_done() or watcher.is_done()):
            advance(int(time.monotonic() - begin))
            time.sleep(_PROGRESS_SECONDS)
        late_ms, seen = sender.result(), watcher.result()
        cpu = (consumer.usage().cpu_seconds - used_before.cpu_seconds) / (time.monotonic() - measured_at)
        after = consumer.histogram(HISTOGRAM)
    counts = [(bound, count - earlier) for (bound, count), (_, earlier) in zip(after, before, strict=True)]
    return Freshness(seen, late_ms, cpu, counts)
