"""A stream of messages made from a seed: sessions of users, repeats, late events, and messages that are no events."""

import random
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from feature_repo.errors import Reason
from feature_repo.schema import Event, EventType, Item
from streaming.events.parser import CONTENT_TYPE, PROTOBUF_TYPE, event_to_json, event_to_protobuf

PARTITIONS = 4
START_MS = 1_767_222_000_000  # 2025-12-31 23:00 UTC: the stream passes midnight
ITEMS = [Item(f"item-{n}", title=f"Item {n}", category=f"category-{n % 7}" if n % 3 else "") for n in range(800)]

_OPEN_SESSIONS = 250
_END_OF_SESSION = 1 / 32
_USERS = 2500
_MINUTE_MS = 60_000
_PURCHASE = {"quantity": 2, "price": 9.5, "platform": "web"}
_HEADERS = [(CONTENT_TYPE, PROTOBUF_TYPE)]


@dataclass(frozen=True, slots=True)
class Message:
    """One message to produce; a message without an event is to become a dead letter for `reason`."""

    partition: int
    key: bytes | None
    value: bytes | None
    timestamp_ms: int
    headers: tuple[tuple[str, bytes], ...] = ()
    event: Event | None = None
    reason: Reason | None = None


def planted_stream(seed: int, count: int, poison: int) -> list[Message]:
    """`count` events, a tenth of them repeats and a tenth late, and between them `poison` messages of every kind."""
    rng = random.Random(seed)
    messages = list(_events(rng, count))
    kinds = list(_poison_kinds())
    places = sorted(rng.sample(range(count), poison), reverse=True)
    for number, place in enumerate(places):
        messages.insert(place, kinds[number % len(kinds)](messages[place]))
    return messages


def message_of(event: Event, sent_ms: int, protobuf: bool = False) -> Message:
    """The event as a producer would send it at a time."""
    key = event.session_id.encode()
    value, headers = (event_to_protobuf(event), _HEADERS) if protobuf else (event_to_json(event), [])
    return Message(partition_of(event.session_id), key, value, sent_ms, tuple(headers), event)


def partition_of(session_id: str) -> int:
    """All events of a session lie in one partition."""
    return zlib.crc32(session_id.encode()) % PARTITIONS


def _events(rng: random.Random, count: int) -> Iterator[Message]:
    repeats = set(rng.sample(range(count // 10, count), count // 10))
    sent: list[Message] = []
    visitors = _Visitors(rng)
    now_ms = START_MS
    for number in range(count):
        now_ms += rng.choice((0, 0, 20, 80))
        if number in repeats:
            message = replace(sent[-1 - int(rng.paretovariate(0.5)) % len(sent)], timestamp_ms=now_ms)
        else:
            late_ms = rng.randrange(_MINUTE_MS, 20 * 60 * _MINUTE_MS) if rng.random() < 1 / 9 else 0
            event = visitors.act(number, now_ms - late_ms)
            message = message_of(event, now_ms, protobuf=rng.random() < 0.1)
        sent.append(message)
        yield message


class _Visitors:
    """Many sessions at a time, of about 30 events, some far longer than the store keeps; users come back."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self._begun = 0
        self._open = [self._begin() for _ in range(_OPEN_SESSIONS)]

    def act(self, number: int, time_ms: int) -> Event:
        rng = self._rng
        place = rng.randrange(len(self._open))
        session_id, user_id = self._open[place]
        if rng.random() < _END_OF_SESSION:
            self._open[place] = self._begin()
        event_type = rng.choice(list(EventType))
        attributes = {"duration_ms": 1500} if event_type is EventType.WATCH else {}
        if event_type is EventType.PURCHASE:
            attributes = dict(_PURCHASE)
        item_id = ITEMS[min(int(rng.expovariate(0.01)), len(ITEMS) - 1)].item_id
        # A visitor logs in now and then.
        user = user_id if rng.random() < 0.7 else None
        return Event(f"event-{number}", event_type, session_id, item_id, time_ms, user, attributes)

    def _begin(self) -> tuple[str, str]:
        self._begun += 1
        return f"session-{self._begun}", f"user-{self._rng.randrange(_USERS)}"


def _poison_kinds() -> Iterator[Callable[[Message], Message]]:
    """Each makes a bad message that comes just before a good one."""

    def spoiled(reason: Reason, value: bytes | None, **others: object) -> Callable[[Message], Message]:
        def spoil(good: Message) -> Message:
            fields = {"value": value, "event": None, "reason": reason, "key": b"session-1", "headers": ()}
            return replace(good, **(fields | others))

        return spoil

    def altered(reason: Reason, old: bytes, new: bytes) -> Callable[[Message], Message]:
        event = Event("bad", EventType.VIEW, "session-1", "item-1", START_MS)
        text = event_to_json(event)
        assert old in text
        return spoiled(reason, text.replace(old, new))

    yield spoiled(Reason.MALFORMED, b"\x00\xff\xfe not JSON")
    yield spoiled(Reason.MALFORMED, b"[1, 2]")
    yield spoiled(Reason.MALFORMED, b"\x0a\xff", headers=tuple(_HEADERS))
    yield spoiled(Reason.UNSUPPORTED_FORMAT, b"<event/>", headers=((CONTENT_TYPE, b"text/xml"), ("trace", b"\xff\x00")))
    yield spoiled(Reason.MISSING, None)
    yield spoiled(Reason.MISSING, b"", key=None)
    yield altered(Reason.MISSING, b'"item_id"', b'"item"')
    yield altered(Reason.WRONG_TYPE, b'"bad"', b"17")
    yield altered(Reason.UNKNOWN_VALUE, b'"view"', b'"gaze"')
    yield altered(Reason.TOO_LONG, b'"item-1"', b'"' + b"x" * 300 + b'"')
    yield altered(Reason.WRONG_KEY, b'"session-1"', b'"session-2"')
    yield altered(Reason.TOO_LARGE, b'"bad"', b'"' + b"x" * 70_000 + b'"')
    yield altered(Reason.FROM_THE_FUTURE, str(START_MS).encode(), str(START_MS + 10**9).encode())
    yield altered(Reason.TOO_OLD, str(START_MS).encode(), str(START_MS - 31 * 24 * 60 * _MINUTE_MS).encode())
