"""Whatever the order, repeats, batches, restarts and consumers, the online store ends as a plain fold leaves it."""

import random
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from feature_repo.feature_store import apply, open_feature_store
from feature_repo.online.popularity import PopularityShard
from feature_repo.online.redis_layout import Encoded, ViewLayout
from feature_repo.online.redis_rows import RedisRows
from feature_repo.schema import Event, EventType, Item
from feature_repo.session import fold, history_of
from feature_repo.views import (
    POPULAR_ITEMS,
    SESSION_EVENTS,
    USER_HISTORY,
    View,
    history_to_row,
    popular_key,
    popular_scope,
    session_to_row,
)
from nextclick.stack.addresses import Addresses
from streaming.sessions.batches import EventBatch
from streaming.sessions.folding import OnlineFold
from streaming.sessions.popular_items import PopularItems
from streaming.settings import StreamingSettings
from tests.support.gate import InterruptedRows
from tests.support.stored_rows import StoredRows

if TYPE_CHECKING:
    from feast import FeatureStore

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")  # Feast's own imports
NOW_MS = time.time_ns() // 1_000_000
PARTITIONS = 3
Store = dict[tuple[View, str], Encoded | None]


@pytest.fixture(scope="module")
def fold_settings(stack: Addresses) -> StreamingSettings:
    return StreamingSettings(nextclick_home=stack.home, redis_url=stack.redis_url, hot_events=40)


@pytest.fixture(scope="module")
def catalogue(fold_settings: StreamingSettings) -> Iterator[dict[str, str]]:
    """Category of each item, "" where it has none."""
    marker = uuid4().hex[:8]
    categories = {f"{marker}-{name}": category for name, category in (("a", marker), ("b", marker), ("c", ""))}
    writer = StoredRows(fold_settings)
    writer.write_items(Item(item_id, category=category) for item_id, category in categories.items() if category)
    yield categories
    writer.close()


def _partition(session_id: str) -> int:
    return int(session_id[-1]) % PARTITIONS


def _events(seed: int, run: str, items: Sequence[str], count: int) -> list[Event]:
    """Sessions of 0 to about 70 events of a few users, with ties in time, late events and ids that contradict."""
    rng = random.Random(seed)
    return [
        Event(
            event_id=f"{run}-{rng.randrange(count)}",
            event_type=rng.choice(list(EventType)),
            session_id=(session_id := f"{run}-s{min(9, int(rng.expovariate(0.4)))}"),
            item_id=rng.choice(items),
            timestamp_ms=NOW_MS - rng.randrange(0, 40 * 60_000, 500),
            user_id=rng.choice([None, f"{run}-u1", f"{run}-u{session_id[-1]}"]),
        )
        for _ in range(count)
    ]


def _batches(arriving: list[tuple[int, Event]], topic_id: str, sizes: Iterator[int]) -> Iterator[list[EventBatch]]:
    """The events of each partition, in order of arrival, cut into batches; their offsets start at 0."""
    queues: dict[int, list[tuple[int, Event]]] = {}
    for offset, event in arriving:
        queues.setdefault(_partition(event.session_id), []).append((offset, event))
    while queues:
        batch = []
        for partition, queue in list(queues.items()):
            taken = queue[: next(sizes)]
            del queue[: len(taken)]
            batch.append(EventBatch(topic_id, partition, 0, taken[-1][0] + 1, taken))
            if not queue:
                del queues[partition]
        yield batch


def _expected(arriving: list[tuple[int, Event]], categories: dict[str, str], shards: Sequence[int]) -> Store:
    """The plain fold of all sessions and users, and popularity counted event by event."""
    store: Store = {}
    by_session: dict[str, list[Event]] = {}
    by_user: dict[str, list[Event]] = {}
    for _, event in arriving:
        by_session.setdefault(event.session_id, []).append(event)
        if event.user_id:
            by_user.setdefault(event.user_id, []).append(event)
    for session_id, events in by_session.items():
        store[SESSION_EVENTS, session_id] = _session(events)
    for user_id, events in by_user.items():
        store[USER_HISTORY, user_id] = _history(user_id, events)
    for (scope, partition), popularity in _count(arriving, categories).items():
        store[POPULAR_ITEMS, popular_key(scope, shards[partition])] = popularity.encoded()
    return store


def _session(events: list[Event]) -> Encoded:
    return ViewLayout(SESSION_EVENTS).encode(session_to_row(fold(None, events)))


def _history(user_id: str, events: list[Event]) -> Encoded:
    return ViewLayout(USER_HISTORY).encode(history_to_row(user_id, history_of(events)))


def _count(arriving: list[tuple[int, Event]], categories: dict[str, str]) -> dict[tuple[str, int], PopularityShard]:
    sessions: dict[str, list[Event]] = {}
    shards: dict[tuple[str, int], PopularityShard] = {}
    for _, event in arriving:
        before = fold(None, sessions.get(event.session_id, []), event.session_id)
        sessions.setdefault(event.session_id, []).append(event)
        after = fold(None, sessions[event.session_id])
        is_new = {e.event_id for e in after.events} - {e.event_id for e in before.events}
        if is_new and event.event_type is not EventType.REMOVE_FROM_CART:
            for scope in {popular_scope(), popular_scope(categories[event.item_id])}:
                shard = shards.setdefault((scope, _partition(event.session_id)), PopularityShard())
                shard.add([(event.item_id, event.timestamp_ms)])
    return shards


def _read(fold_settings: StreamingSettings, wanted: Sequence[tuple[View, str]]) -> Store:
    with closing(RedisRows(fold_settings)) as rows:
        return dict(zip(wanted, rows.read(wanted), strict=True))


def _clear_popularity(fold_settings: StreamingSettings, categories: dict[str, str]) -> None:
    scopes = {popular_scope(category) for category in ("", *categories.values())}
    with closing(RedisRows(fold_settings)) as rows:
        rows.delete([(POPULAR_ITEMS, popular_key(scope, shard)) for scope in scopes for shard in range(PARTITIONS)])


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    seed=st.integers(0, 2**32),
    size=st.sampled_from([1, 7, 60]),
    restart_after=st.integers(1, 12),
    consumers=st.integers(1, 3),
)
def test_the_store_is_what_a_plain_fold_would_leave(
    fold_settings: StreamingSettings,
    catalogue: dict[str, str],
    seed: int,
    size: int,
    restart_after: int,
    consumers: int,
) -> None:
    rng = random.Random(seed)
    run = uuid4().hex[:8]
    events = _events(seed, run, list(catalogue), count=rng.choice([5, 80, 250]))
    repeated = events + rng.sample(events, len(events) // 4)
    rng.shuffle(repeated)
    arriving = list(enumerate(repeated))
    _clear_popularity(fold_settings, catalogue)
    sizes = iter(lambda: rng.randint(1, size), None)
    with ExitStack() as stack:
        all_rows = [stack.enter_context(closing(RedisRows(fold_settings))) for _ in range(consumers)]
        folds = [OnlineFold(rows, fold_settings) for rows in all_rows]
        for number, batches in enumerate(_batches(arriving, run, sizes)):
            # Any consumer may get any batch next, as after a rebalance, and none is told that it lost its partitions.
            folds[rng.randrange(consumers)].apply(batches)
            if rng.random() < 0.2:  # the offset was not committed, so the batch comes again, to whomever
                folds[rng.randrange(consumers)].apply(batches)
            if number % restart_after == 0:
                all_rows[0].close()
                folds[0] = OnlineFold(all_rows[0], fold_settings)
    expected = _expected(arriving, catalogue, range(PARTITIONS))
    assert _read(fold_settings, list(expected)) == expected


@pytest.fixture
def rows(fold_settings: StreamingSettings) -> Iterator[RedisRows]:
    with closing(RedisRows(fold_settings)) as rows:
        yield rows


@pytest.fixture
def interrupted_rows(fold_settings: StreamingSettings) -> Iterator[InterruptedRows]:
    with closing(InterruptedRows(fold_settings)) as rows:
        yield rows


@pytest.mark.parametrize("frozen_when", ["before it reads", "between reading and writing"])
def test_another_writer_of_the_same_partition_is_noticed(
    fold_settings: StreamingSettings, rows: RedisRows, interrupted_rows: InterruptedRows, frozen_when: str
) -> None:
    """A consumer that was frozen and goes on with what it remembers does not overwrite its successor's work."""
    run = uuid4().hex[:8]
    events = [Event(f"{run}-{n}", EventType.VIEW, f"{run}-s0", "i", NOW_MS + n, f"{run}-u") for n in range(4)]
    frozen, successor = OnlineFold(interrupted_rows, fold_settings), OnlineFold(rows, fold_settings)
    frozen.apply([EventBatch(run, 0, 0, 1, [(0, events[0])])])

    def succeed() -> None:
        successor.apply([EventBatch(run, 0, 0, 3, [(1, events[1]), (2, events[2])])])

    if frozen_when == "before it reads":
        succeed()
    else:
        interrupted_rows.meanwhile = succeed
    frozen.apply([EventBatch(run, 0, 0, 4, [(3, events[3])])])
    assert interrupted_rows.meanwhile is None
    found = _read(fold_settings, [(SESSION_EVENTS, f"{run}-s0"), (USER_HISTORY, f"{run}-u")])
    assert list(found.values()) == [_session(events), _history(f"{run}-u", events)]


def test_old_events_folded_beside_a_consumer_stay(
    fold_settings: StreamingSettings, rows: RedisRows, interrupted_rows: RedisRows
) -> None:
    """As a backfill into an emptied store does, whose consumer still remembers the newest event of a session."""
    run = uuid4().hex[:8]
    events = [Event(f"{run}-{n}", EventType.VIEW, f"{run}-s0", "i", NOW_MS + n, f"{run}-u") for n in range(6)]
    wanted = [(SESSION_EVENTS, f"{run}-s0"), (USER_HISTORY, f"{run}-u")]
    consumer, rebuilt = OnlineFold(rows, fold_settings), OnlineFold(interrupted_rows, fold_settings, rewrites=True)
    consumer.apply([EventBatch(run, 0, 0, 3, [(2, events[2])])])
    for number in range(2):
        rebuilt.apply([EventBatch(run, 0, 0, 0, [(number, events[number])])])
        consumer.apply([EventBatch(run, 0, 0, 4 + number, [(3 + number, events[3 + number])])])
    rebuilt.apply([EventBatch(run, 0, 0, 0, list(enumerate(events[:5])))])
    consumer.apply([EventBatch(run, 0, 0, 6, [(5, events[5])])])
    assert list(_read(fold_settings, wanted).values()) == [_session(events), _history(f"{run}-u", events)]


def test_shards_beyond_the_capacity_are_read_again(
    fold_settings: StreamingSettings, catalogue: dict[str, str], rows: RedisRows, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(PopularItems, "CAPACITY", 1)
    run = uuid4().hex[:8]
    events = _events(9, run, list(catalogue), 200)
    _clear_popularity(fold_settings, catalogue)
    consumer = OnlineFold(rows, fold_settings)
    for batches in _batches(list(enumerate(events)), run, iter(lambda: 7, None)):
        consumer.apply(batches)
    assert consumer._popular is not None
    assert len(consumer._popular._shards) == 1
    expected = _expected(list(enumerate(events)), catalogue, range(PARTITIONS))
    assert _read(fold_settings, list(expected)) == expected


def test_a_replay_counts_nothing_twice_even_if_the_session_is_gone(
    fold_settings: StreamingSettings, catalogue: dict[str, str], rows: RedisRows
) -> None:
    run = uuid4().hex[:8]
    event = Event("e", EventType.VIEW, f"{run}-s0", next(iter(catalogue)), NOW_MS)
    batch = EventBatch(run, 0, 0, 1, [(0, event)])
    wanted = [(POPULAR_ITEMS, popular_key(popular_scope(catalogue[event.item_id]), 0))]
    for number in range(2):
        OnlineFold(rows, fold_settings).apply([batch])
        if number == 0:
            counted = _read(fold_settings, wanted)
            assert counted[wanted[0]]
            rows.delete([(SESSION_EVENTS, event.session_id)])
    assert _read(fold_settings, wanted) == counted


@pytest.fixture(scope="module")
def feast(fold_settings: StreamingSettings) -> "FeatureStore":
    apply(fold_settings)
    return open_feature_store(fold_settings)


def test_feast_reads_every_row_that_was_written(
    feast: "FeatureStore", fold_settings: StreamingSettings, catalogue: dict[str, str], rows: RedisRows
) -> None:
    run = uuid4().hex[:8]
    events = _events(5, run, list(catalogue), 400)
    _clear_popularity(fold_settings, catalogue)
    consumer = OnlineFold(rows, fold_settings)
    for batches in _batches(list(enumerate(events)), run, iter(lambda: 50, None)):
        consumer.apply(batches)
    expected = _expected(list(enumerate(events)), catalogue, range(PARTITIONS))
    assert {view.name for view, _ in expected} == {"session_events", "user_history", "popular_items"}
    for view in (SESSION_EVENTS, USER_HISTORY, POPULAR_ITEMS):
        keys = [key for of_view, key in expected if of_view is view]
        names = [f"{view.name}:{name}" for name in view.features]
        read = feast.get_online_features(names, [{view.join_key: key} for key in keys]).to_dict()
        for number, key in enumerate(keys):
            row = ViewLayout(view).decode(key, expected[view, key])
            assert row is not None
            assert {name: read[name][number] for name in view.features} == row.values
