"""Decayed counts equal an exact recount, add up over shards, and survive being stored and read back bit for bit."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from feature_repo.online.popularity import PopularityShard, merge_popular
from feature_repo.online.redis_layout import ViewLayout
from feature_repo.schema import MAX_CANDIDATES, MAX_POPULAR_ITEMS, POPULARITY_HALF_LIFE
from feature_repo.views import POPULAR_ITEMS, Row, popular_key, popular_scope

DAY_MS = 24 * 60 * 60 * 1000
NOW_MS = 1_790_000_000_000
LAYOUT = ViewLayout(POPULAR_ITEMS)
CLICKS = st.lists(st.tuples(st.sampled_from("abcdef"), st.integers(NOW_MS - 200 * DAY_MS, NOW_MS)), max_size=60)


def _row(shard: PopularityShard) -> Row:
    row = LAYOUT.decode(popular_key(popular_scope(), 0), shard.encoded())
    assert row is not None
    return row


def _recount(clicks: list[tuple[str, int]]) -> dict[str, float]:
    half_life_ms = POPULARITY_HALF_LIFE.total_seconds() * 1000
    scores: dict[str, float] = {}
    for item_id, timestamp_ms in clicks:
        scores[item_id] = scores.get(item_id, 0) + 0.5 ** ((NOW_MS - timestamp_ms) / half_life_ms)
    return scores


@given(CLICKS.filter(bool), st.integers(1, 4))
def test_shards_add_up_to_an_exact_recount(clicks: list[tuple[str, int]], shards: int) -> None:
    parts = [PopularityShard() for _ in range(shards)]
    for number, (item_id, timestamp_ms) in enumerate(clicks):
        parts[number % shards].add([(item_id, timestamp_ms)])
    merged = dict(merge_popular([_row(part) for part in parts[: len(clicks)]], NOW_MS))
    expected = _recount(clicks)
    assert merged == pytest.approx({item_id: expected[item_id] for item_id in merged}, rel=1e-9, abs=1e-30)
    assert all(expected[item_id] < 1e-18 for item_id in expected.keys() - merged.keys())


@given(CLICKS.filter(bool), st.sets(st.integers(0, 60)))
def test_storing_and_reading_back_in_between_changes_no_bit(clicks: list[tuple[str, int]], restarts: set[int]) -> None:
    plain, interrupted = PopularityShard(), PopularityShard()
    for number, click in enumerate(clicks):
        plain.add([click])
        interrupted.add([click])
        if number in restarts:
            interrupted = PopularityShard.from_fields(interrupted.encoded())
    assert interrupted.encoded() == plain.encoded()


def test_best_items_come_first_and_the_tail_is_forgotten() -> None:
    rng = random.Random(1)
    shard = PopularityShard()
    for _ in range(40_000):
        shard.add([(f"item-{int(rng.paretovariate(0.5)) % 5000:04d}", NOW_MS)])
    row = _row(shard)
    assert MAX_POPULAR_ITEMS <= len(row.values["item_ids"]) <= 2 * MAX_POPULAR_ITEMS
    merged = merge_popular([row], NOW_MS)
    assert len(merged) == MAX_CANDIDATES
    assert merged[0][0] == "item-0001"
    assert [score for _, score in merged] == sorted((score for _, score in merged), reverse=True)


def test_rows_hold_what_the_layout_would_write() -> None:
    shard = PopularityShard()
    for item_id, timestamp_ms in [("a", NOW_MS), ("b", NOW_MS - 5), ("a", NOW_MS - DAY_MS)]:
        shard.add([(item_id, timestamp_ms)])
    assert LAYOUT.encode(_row(shard)) == shard.encoded()
    assert _row(shard).timestamp_ms == NOW_MS
