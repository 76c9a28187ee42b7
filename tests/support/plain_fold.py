"""What the online store must hold after a stream, counted out in memory without Kafka, batches or Redis."""

from bisect import bisect_left, insort
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

from feature_repo.online.popularity import PopularityShard
from feature_repo.online.redis_layout import ViewLayout, row_key
from feature_repo.schema import MAX_SESSION_LENGTH, PROJECT, Event, EventType, Item
from feature_repo.session import fold, history_of, session_order
from feature_repo.views import (
    ITEM_PROFILE,
    POPULAR_ITEMS,
    SESSION_EVENTS,
    USER_HISTORY,
    Row,
    View,
    history_to_row,
    item_to_row,
    popular_key,
    popular_scope,
    session_to_row,
)
from tests.faults.feeding import ends_of
from tests.support.planted_stream import ITEMS, START_MS, Message, partition_of

Store = dict[bytes, dict[bytes, bytes] | bytes]
"""What a Redis holds: fields by key, or the plain value."""


def plain_rows(messages: Iterable[Message], items: Iterable[Item]) -> Store:
    """Every row of sessions, histories and popular items."""
    events = [message.event for message in messages if message.event]
    categories = {item.item_id: item.category for item in items}
    return session_rows(messages) | _histories(events) | _popular(events, categories)


def session_rows(messages: Iterable[Message]) -> Store:
    """The rows of sessions alone."""
    by_session: dict[str, list[Event]] = defaultdict(list)
    for event in (message.event for message in messages if message.event):
        by_session[event.session_id].append(event)
    rows: Store = {}
    for of_session in by_session.values():
        rows |= encoded_row(SESSION_EVENTS, session_to_row(fold(None, of_session)))
    return rows


def expected_store(messages: Sequence[Message], topic_id: str) -> Store:
    """All of a Redis that had the catalogue ITEMS and then got this stream, from a topic to itself."""
    store = plain_rows(messages, ITEMS)
    for item in ITEMS:
        store |= encoded_row(ITEM_PROFILE, item_to_row(item, START_MS))
    for partition, end in enumerate(ends_of(messages)):
        if end:
            store[f"{PROJECT}:position:{topic_id}/{partition}".encode()] = b"%d" % end
    return store


def assert_same(found: Store, expected: Store) -> None:
    """Bit for bit, with a message that does not show all of it."""
    different = [key for key in sorted(found.keys() | expected.keys()) if found.get(key) != expected.get(key)]
    examples = [(key, found.get(key), expected.get(key)) for key in different[:2]]
    assert not different, f"{len(different)} of {len(expected)} keys differ (key, found, expected): {examples}"


def encoded_row(view: View, row: Row) -> Store:
    """A row as Redis holds it."""
    layout = ViewLayout(view)
    return {row_key(view, row.key): dict(zip(layout.fields, layout.encode(row), strict=True))}


def _histories(events: Iterable[Event]) -> Store:
    by_user: dict[str, list[Event]] = defaultdict(list)
    for event in events:
        if event.user_id:
            by_user[event.user_id].append(event)
    rows: Store = {}
    for user_id, of_user in by_user.items():
        rows |= encoded_row(USER_HISTORY, history_to_row(user_id, history_of(of_user)))
    return rows


def _popular(events: Iterable[Event], categories: Mapping[str, str]) -> Store:
    kept: dict[str, list[tuple[int, str, str, str, str]]] = defaultdict(list)
    shards: dict[tuple[str, int], PopularityShard] = defaultdict(PopularityShard)
    for event in events:
        if not _is_new(kept[event.session_id], event) or event.event_type is EventType.REMOVE_FROM_CART:
            continue
        for scope in {popular_scope(), popular_scope(categories.get(event.item_id, ""))}:
            shards[scope, partition_of(event.session_id)].add([(event.item_id, event.timestamp_ms)])
    fields = ViewLayout(POPULAR_ITEMS).fields
    return {
        row_key(POPULAR_ITEMS, popular_key(*shard)): dict(zip(fields, popularity.encoded(), strict=True))
        for shard, popularity in shards.items()
    }


def _is_new(kept: list[tuple[int, str, str, str, str]], event: Event) -> bool:
    """Whether a session of these events takes the event in, which is then done."""
    order = session_order(event)
    place = bisect_left(kept, order)
    if place < len(kept) and kept[place] == order:
        return False
    if len(kept) == MAX_SESSION_LENGTH:
        if place == 0:
            return False
        del kept[0]
    insort(kept, order)
    return True
