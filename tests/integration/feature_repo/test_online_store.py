"""Writer and reader on real stores, held to what Feast's own SDK reads and writes."""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import redis

from feature_repo.feature_store import apply, feast_environment, open_feature_store
from feature_repo.online.popularity import PopularityShard
from feature_repo.online.redis_layout import LAYOUTS, row_key
from feature_repo.online.redis_rows import RedisRows
from feature_repo.online.rows import EncodedRow
from feature_repo.online.store import OnlineStoreReader, Status, StoredSession
from feature_repo.schema import MAX_CANDIDATES, SESSION_TTL, Event, EventType, Item
from feature_repo.session import Session, fold
from feature_repo.settings import SharedSettings
from feature_repo.views import (
    ITEM_PROFILE,
    POPULAR_ITEMS,
    SESSION_EVENTS,
    USER_HISTORY,
    VIEWS,
    Row,
    item_to_row,
    popular_scope,
    session_to_row,
)
from nextclick.stack.addresses import Addresses
from tests.support.project import PROJECT
from tests.support.stored_rows import StoredRows

if TYPE_CHECKING:
    from feast import FeatureStore

NOW_MS = time.time_ns() // 1_000_000
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")  # Feast's own imports


@pytest.fixture(scope="module")
def settings(stack: Addresses) -> SharedSettings:
    return SharedSettings(nextclick_home=stack.home, redis_url=stack.redis_url)


@pytest.fixture(scope="module")
def feast(settings: SharedSettings) -> "FeatureStore":
    apply(settings)
    return open_feature_store(settings)


@pytest.fixture
def writer(settings: SharedSettings) -> Iterator[StoredRows]:
    writer = StoredRows(settings)
    yield writer
    writer.close()


def _session(run_id: str, count: int, newest_ms: int = NOW_MS) -> Session:
    events = [
        Event(f"{run_id}-{n}", EventType.WATCH, f"{run_id}-s", f"ïtem {n}", newest_ms - n, "u", {"n": n})
        for n in range(count)
    ]
    return fold(None, events)


async def _read(settings: SharedSettings, session_id: str) -> StoredSession:
    reader = OnlineStoreReader(settings)
    try:
        await reader.ping()
        return await reader.read_session(session_id)
    finally:
        await reader.close()


@pytest.mark.parametrize("count", [1, 70])
async def test_a_session_comes_back_as_it_was(
    settings: SharedSettings, writer: StoredRows, run_id: str, count: int
) -> None:
    session = _session(run_id, count)
    writer.write_sessions([session])
    assert await _read(settings, session.session_id) == StoredSession(Status.PRESENT, session)
    assert writer.read_sessions([session.session_id, "unheard of"]) == {session.session_id: session}


async def test_missing_and_stale_are_told_apart(settings: SharedSettings, writer: StoredRows, run_id: str) -> None:
    old = _session(run_id, 3, NOW_MS - int(SESSION_TTL.total_seconds() * 1000) - 5000)
    writer.write_sessions([old])
    assert await _read(settings, old.session_id) == StoredSession(Status.STALE, old)
    assert await _read(settings, f"{run_id}-nobody") == StoredSession(Status.MISSING, None)


async def test_a_late_event_changes_the_row_though_the_newest_time_stays(
    settings: SharedSettings, writer: StoredRows, run_id: str
) -> None:
    session = _session(run_id, 2)
    writer.write_sessions([session])
    late = fold(session, [Event(f"{run_id}-late", EventType.VIEW, session.session_id, "late", NOW_MS - 60_000)])
    writer.write_sessions([late])
    assert (await _read(settings, session.session_id)).session == late


async def test_items_and_popular_items_come_back(settings: SharedSettings, writer: StoredRows, run_id: str) -> None:
    items = [Item(f"{run_id}-1", "title", "category", "brand", 9.5, False), Item(f"{run_id}-2")]
    scope, popularity = popular_scope(run_id), [PopularityShard(), PopularityShard()]
    for n in range(MAX_CANDIDATES + 5):
        for _ in range(1 + n // 100):
            popularity[n % 2].add([(f"{run_id}-{n:03d}", NOW_MS)])
    writer.write_items(items)
    for shard, part in zip((0, 63), popularity, strict=True):
        writer.write_popularity(part, scope, shard)
    reader = OnlineStoreReader(settings)
    assert [await reader.read_item(item.item_id) for item in items] == items
    assert await reader.read_item(f"{run_id}-3") is None
    popular = await reader.read_popular_items(scope)
    assert [item_id for item_id, _ in popular] == [
        f"{run_id}-{n:03d}" for n in (*range(200, 205), *range(100, 200), *range(95))
    ]
    assert [round(score) for _, score in popular[:6]] == [3, 3, 3, 3, 3, 2]
    assert await reader.read_popular_items(f"{scope}-nobody") == []
    await reader.close()


def _online_features(feast: "FeatureStore", view: str, names: list[str], key: dict[str, str]) -> dict[str, Any]:
    response = feast.get_online_features([f"{view}:{name}" for name in names], [key])
    return {name: values[0] for name, values in response.to_dict(include_event_timestamps=True).items()}


def test_the_sdk_reads_what_we_wrote(feast: "FeatureStore", settings: SharedSettings, run_id: str) -> None:
    session, item = _session(run_id, 4), Item(f"{run_id}-i", "title", price=None)
    writer = StoredRows(settings)
    writer.write_sessions([session])
    writer.write_items([item])
    writer.close()
    names = ["event_ids", "item_ids", "event_types", "timestamps_ms", "user_id", "user_seen_ms"]
    read = _online_features(feast, "session_events", names, {"session_id": session.session_id})
    assert read["event_ids"] == [event.event_id for event in session.events]
    assert read["item_ids"] == [event.item_id for event in session.events]
    assert read["event_types"] == ["watch"] * 4
    assert read["timestamps_ms"] == [event.timestamp_ms for event in session.events]
    assert (read["user_id"], read["user_seen_ms"]) == ("u", NOW_MS)
    assert read["event_ids__ts"] == NOW_MS // 1000
    read = _online_features(feast, "item_profile", ["title", "price", "available"], {"item_id": item.item_id})
    assert (read["title"], read["price"], read["available"]) == ("title", None, True)


async def test_we_read_what_the_sdk_pushed(feast: "FeatureStore", settings: SharedSettings, run_id: str) -> None:
    import pandas as pd

    session = _session(run_id, 3)
    frame = pd.DataFrame(
        {
            "session_id": [session.session_id],
            "event_ids": [[event.event_id for event in session.events]],
            "item_ids": [[event.item_id for event in session.events]],
            "event_types": [["watch"] * 3],
            "timestamps_ms": [[event.timestamp_ms for event in session.events]],
            "user_id": ["u"],
            "user_seen_ms": [session.user_seen_ms],
            "event_timestamp": [datetime.fromtimestamp(NOW_MS / 1000, UTC)],
        }
    )
    feast.push("session_push", frame)
    assert await _read(settings, session.session_id) == StoredSession(Status.PRESENT, session)


def _rows(run_id: str) -> list[EncodedRow]:
    """A row of each view, and one that is as empty as a row can be."""
    popularity, anonymous = PopularityShard(), Event("e", EventType.VIEW, f"{run_id}-a", "i", NOW_MS)
    popularity.add([("ïtem", NOW_MS), ("item 2", NOW_MS - 1)])
    item = Item(f"{run_id}-i", "title", "category", "brand", 9.5, False, ("new", "red"))
    history = {
        "event_ids": ["1", "2"],
        "item_ids": ["ïtem", "item 2"],
        "event_types": ["view", "purchase"],
        "timestamps_ms": [NOW_MS - 1, NOW_MS],
        "session_ids": ["s", "t"],
    }
    rows = [
        (SESSION_EVENTS, session_to_row(_session(run_id, 3))),
        (SESSION_EVENTS, session_to_row(fold(None, [anonymous]))),
        (ITEM_PROFILE, item_to_row(item, NOW_MS)),
        (ITEM_PROFILE, item_to_row(Item(f"{run_id}-j"), NOW_MS)),
        (USER_HISTORY, Row(f"{run_id}-u", history, NOW_MS)),
    ]
    return [
        *(EncodedRow(view, row.key, LAYOUTS[view.name].encode(row)) for view, row in rows),
        EncodedRow(POPULAR_ITEMS, f"{run_id}/0", popularity.encoded()),
    ]


def test_both_write_the_same_bytes_and_read_what_the_other_wrote(
    feast: "FeatureStore", settings: SharedSettings, run_id: str
) -> None:
    """Keys, names of fields, values and time stamps are alike, in every view."""
    from tests.support.feast_rows import FeastRows

    theirs = FeastRows(feast)
    with (
        closing(RedisRows(settings)) as ours,
        redis.Redis.from_url(settings.redis_url.get_secret_value()) as client,
    ):
        for row in _rows(run_id):
            fields = dict(zip(LAYOUTS[row.view.name].fields, row.values, strict=True))
            key = row_key(row.view, row.key)
            for write, read in ((ours.write, theirs), (theirs.write, ours)):
                client.delete(key)
                write([row])
                assert client.hgetall(key) == fields
                found = [read.read([(row.view, each)])[0] for each in (row.key, f"{row.key}-unheard of")]
                assert found == [row.values, None]


def test_applying_again_does_nothing(feast: "FeatureStore", settings: SharedSettings) -> None:
    assert apply(settings) is False
    assert {view.name for view in feast.list_feature_views()} == {
        "session_events",
        "user_history",
        "item_profile",
        "popular_items",
    }
    assert {entity.name for entity in feast.list_entities()} >= {"session", "user", "item", "scope"}
    assert [service.name for service in feast.list_feature_services()] == ["recommendation"]


def _feast(repository: Path, settings: SharedSettings, *arguments: str) -> str:
    """What Feast's own command line prints."""
    done = subprocess.run(
        [Path(sys.executable).with_name("feast"), "-c", repository, *arguments],
        env={**os.environ, **feast_environment(settings)},
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_feast_command_line_sees_the_same_registry(feast: "FeatureStore", settings: SharedSettings) -> None:
    assert "session_events" in _feast(PROJECT / "feature_repo", settings, "feature-views", "list")


def test_the_feast_command_line_works_in_a_copy_of_the_folder(stack: Addresses, tmp_path: Path) -> None:
    settings = SharedSettings(nextclick_home=tmp_path, redis_url=stack.redis_url)
    copy = shutil.copytree(PROJECT / "feature_repo", tmp_path / "copy", ignore=shutil.ignore_patterns("__pycache__"))
    with (copy / "definitions.py").open("a") as definitions:
        definitions.write('shop = Entity(name="shop", join_keys=["shop_id"], value_type=ValueType.STRING)\n')
    _feast(copy, settings, "apply")
    listed = {view: _feast(copy, settings, view, "list") for view in ("feature-views", "entities")}
    assert all(view.name in listed["feature-views"] for view in VIEWS)
    assert "shop" in listed["entities"]  # so it read the copy
