"""A shop's click stream out of a seed: the same arguments always give the same events, in memory that does not grow.

Popular items follow Zipf's law, lengths of sessions a geometric distribution; some events come late, some come twice.
"""

import random
from bisect import bisect
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import accumulate

from feature_repo.schema import AttributeValue, Event, EventType

NAME = "simulator"

_WEIGHTS = {
    EventType.VIEW: 70,
    EventType.ADD_TO_CART: 8,
    EventType.REMOVE_FROM_CART: 2,
    EventType.PURCHASE: 3,
    EventType.FAVOURITE: 4,
    EventType.WATCH: 7,
    EventType.LIKE: 4,
    EventType.COMMENT: 1,
    EventType.SHARE: 1,
}
_TYPES = list(_WEIGHTS)
_TYPE_BOUNDS = list(accumulate(_WEIGHTS.values()))
_PLATFORMS = ("web", "ios", "android")


@dataclass(frozen=True, slots=True)
class Simulation:
    """What the stream looks like."""

    seed: int = 4
    items: int = 20_000
    zipf_exponent: float = 1.05
    users: int = 50_000
    anonymous_share: float = 0.2
    """Sessions without a user."""
    active_sessions: int = 2_000
    """Sessions that are open at once; one that ends gives its place to a new one."""
    mean_session_length: float = 8.0
    longest_session: int = 200
    step_ms: int = 10
    """Time between two arrivals."""
    late_share: float = 0.05
    longest_delay_ms: int = 600_000
    repeated_share: float = 0.03
    repeats_among: int = 5_000
    """How many of the newest events may come again."""


@dataclass(slots=True)
class _OpenSession:
    session_id: str
    user_id: str | None
    platform: str
    left: int


def simulate(simulation: Simulation, count: int, newest_at_ms: int) -> Iterator[Event]:
    """Events in the order of their arrival. The last one arrives at `newest_at_ms`.

    No event's time is after its arrival, nor more than `longest_delay_ms` before it, unless it comes again.
    """
    shop = _Shop(simulation)
    recent: deque[Event] = deque(maxlen=simulation.repeats_among)
    rng = shop.rng
    for position in range(count):
        if recent and rng.random() < simulation.repeated_share:
            yield recent[rng.randrange(len(recent))]
            continue
        event = shop.next_event(newest_at_ms - (count - 1 - position) * simulation.step_ms)
        recent.append(event)
        yield event


class _Shop:
    def __init__(self, simulation: Simulation) -> None:
        self.rng = random.Random(simulation.seed)
        self._simulation = simulation
        self._opened = 0
        self._popularity = list(accumulate(rank**-simulation.zipf_exponent for rank in range(1, simulation.items + 1)))
        self._open = [self._new_session() for _ in range(simulation.active_sessions)]

    def next_event(self, arrives_at_ms: int) -> Event:
        rng = self.rng
        place = rng.randrange(len(self._open))
        session = self._open[place]
        event_type = _TYPES[bisect(_TYPE_BOUNDS, rng.random() * _TYPE_BOUNDS[-1])]
        event = Event(
            event_id=f"{rng.getrandbits(128):032x}",
            event_type=event_type,
            session_id=session.session_id,
            item_id=f"item-{bisect(self._popularity, rng.random() * self._popularity[-1])}",
            timestamp_ms=arrives_at_ms - self._delay_ms(),
            user_id=session.user_id,
            attributes=self._attributes(event_type, session.platform),
        )
        session.left -= 1
        if not session.left:
            self._open[place] = self._new_session()
        return event

    def _new_session(self) -> _OpenSession:
        rng, simulation = self.rng, self._simulation
        self._opened += 1
        anonymous = rng.random() < simulation.anonymous_share
        length = 1 + int(rng.expovariate(1 / simulation.mean_session_length))
        return _OpenSession(
            session_id=f"session-{simulation.seed}-{self._opened}",
            user_id=None if anonymous else f"user-{rng.randrange(simulation.users)}",
            platform=rng.choice(_PLATFORMS),
            left=min(length, simulation.longest_session),
        )

    def _delay_ms(self) -> int:
        late = self.rng.random() < self._simulation.late_share
        return self.rng.randrange(self._simulation.longest_delay_ms) if late else 0

    def _attributes(self, event_type: EventType, platform: str) -> dict[str, AttributeValue]:
        rng = self.rng
        if event_type is EventType.WATCH:
            return {"duration_ms": rng.randrange(1_000, 300_000), "platform": platform}
        if event_type is EventType.PURCHASE:
            return {"quantity": rng.randint(1, 3), "price": round(rng.uniform(1, 200), 2), "platform": platform}
        return {"platform": platform}


def sessions_of_length(length: int, count: int, newest_at_ms: int, at_once: int) -> Iterator[Event]:
    """About `count` events of sessions that all have `length` events, `at_once` of them taking turns.

    The first ones are met at different points of their lives, so that at any time some are young and some are old.
    """
    per_place = max(1, round(count / at_once))
    for round_number in range(per_place):
        for place in range(at_once):
            position = round_number + place * length // at_once
            session_id = f"length-{length}-{place}-{position // length}"
            at_ms = newest_at_ms - ((per_place - round_number) * at_once - place) * 10
            yield Event(
                event_id=f"{session_id}-{position % length}",
                event_type=EventType.VIEW,
                session_id=session_id,
                item_id=f"item-{(place * 7919 + position) % 20_000}",
                timestamp_ms=at_ms,
                user_id=f"user-{length}-{place}-{position // length}",
            )
