"""Writer and reader on real stores, held to what Feast's own SDK reads and writes."""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from feature_repo.feature_store import apply, feast_environment, open_feature_store
from feature_repo.online.popularity import PopularityShard
from feature_repo.online.store import OnlineStoreReader, OnlineStoreWriter, Status, StoredSession
from feature_repo.schema import MAX_CANDIDATES, SESSION_TTL, Event, EventType, Item
from feature_repo.session import Session, fold
from feature_repo.settings import SharedSettings
from feature_repo.views import ITEM_PROFILE, popular_scope
from nextclick.stack.addresses import Addresses
from runtime.settings import PROJECT_ROOT

if TYPE_CHECKING:
    from feast import FeatureStore

NOW_MS = time.time_ns() // 1_000_000
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")  # Feast's own imports


@pytest.fixture(scope="module")
def redis_settings(stack: Addresses) -> SharedSettings:
    return SharedSettings(nextclick_home=stack.home, redis_url=stack.redis_url)


@pytest.fixture(scope="module")
def sqlite_settings(tmp_path_factory: pytest.TempPathFactory) -> SharedSettings:
    return SharedSettings(nextclick_home=tmp_path_factory.mktemp("sqlite"), redis_url="sqlite")


@pytest.fixture(scope="module")
def feast(redis_settings: SharedSettings) -> "FeatureStore":
    apply(redis_settings)
    return open_feature_store(redis_settings)


@pytest.fixture(params=["redis_settings", "sqlite_settings"])
def settings(request: pytest.FixtureRequest) -> SharedSettings:
    settings: SharedSettings = request.getfixturevalue(request.param)
    return settings


@pytest.fixture
def writer(settings: SharedSettings) -> Iterator[OnlineStoreWriter]:
    writer = OnlineStoreWriter(settings)
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
    settings: SharedSettings, writer: OnlineStoreWriter, run_id: str, count: int
) -> None:
    session = _session(run_id, count)
    writer.write_sessions([session])
    assert await _read(settings, session.session_id) == StoredSession(Status.PRESENT, session)
    assert writer.read_sessions([session.session_id, "unheard of"]) == {session.session_id: session}


async def test_missing_and_stale_are_told_apart(
    settings: SharedSettings, writer: OnlineStoreWriter, run_id: str
) -> None:
    old = _session(run_id, 3, NOW_MS - int(SESSION_TTL.total_seconds() * 1000) - 5000)
    writer.write_sessions([old])
    assert await _read(settings, old.session_id) == StoredSession(Status.STALE, old)
    assert await _read(settings, f"{run_id}-nobody") == StoredSession(Status.MISSING, None)


async def test_a_late_event_changes_the_row_though_the_newest_time_stays(
    settings: SharedSettings, writer: OnlineStoreWriter, run_id: str
) -> None:
    session = _session(run_id, 2)
    writer.write_sessions([session])
    late = fold(session, [Event(f"{run_id}-late", EventType.VIEW, session.session_id, "late", NOW_MS - 60_000)])
    writer.write_sessions([late])
    assert (await _read(settings, session.session_id)).session == late


async def test_items_and_popular_items_come_back(
    settings: SharedSettings, writer: OnlineStoreWriter, run_id: str
) -> None:
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
    writer.delete(ITEM_PROFILE, [items[0].item_id, "unheard of"])
    assert await reader.read_item(items[0].item_id) is None
    assert writer.read_items(item.item_id for item in items) == {items[1].item_id: items[1]}
    await reader.close()


def _online_features(feast: "FeatureStore", view: str, names: list[str], key: dict[str, str]) -> dict[str, Any]:
    response = feast.get_online_features([f"{view}:{name}" for name in names], [key])
    return {name: values[0] for name, values in response.to_dict(include_event_timestamps=True).items()}


def test_the_sdk_reads_what_we_wrote(feast: "FeatureStore", redis_settings: SharedSettings, run_id: str) -> None:
    session, item = _session(run_id, 4), Item(f"{run_id}-i", "title", price=None)
    writer = OnlineStoreWriter(redis_settings)
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


async def test_we_read_what_the_sdk_pushed(feast: "FeatureStore", redis_settings: SharedSettings, run_id: str) -> None:
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
    assert await _read(redis_settings, session.session_id) == StoredSession(Status.PRESENT, session)


def test_both_write_the_same_bytes(feast: "FeatureStore", redis_settings: SharedSettings, run_id: str) -> None:
    """The SDK's own write of the same row changes no field: keys, hashes, values and time stamp are alike."""
    import redis

    from feature_repo.online.redis_layout import ViewLayout, row_key
    from feature_repo.online.rows import EncodedRow
    from feature_repo.online.sdk_rows import SdkRows
    from feature_repo.views import SESSION_EVENTS, session_to_row

    row = session_to_row(fold(_session(run_id, 1), []))
    anonymous = session_to_row(fold(None, [Event("e", EventType.VIEW, f"{run_id}-a", "i", NOW_MS)]))
    encode = ViewLayout(SESSION_EVENTS).encode
    SdkRows(redis_settings).write([EncodedRow(SESSION_EVENTS, one.key, encode(one)) for one in (row, anonymous)])
    client = redis.Redis.from_url(redis_settings.redis_url.get_secret_value())
    for written in (row, anonymous):
        ours = dict(zip(ViewLayout(SESSION_EVENTS).fields, encode(written), strict=True))
        assert client.hgetall(row_key(SESSION_EVENTS, written.key)) == ours
    client.close()


def test_applying_again_does_nothing(feast: "FeatureStore", redis_settings: SharedSettings) -> None:
    assert apply(redis_settings) is False
    assert {view.name for view in feast.list_feature_views()} == {
        "session_events",
        "user_history",
        "item_profile",
        "popular_items",
    }
    assert {entity.name for entity in feast.list_entities()} >= {"session", "user", "item", "scope"}
    assert [service.name for service in feast.list_feature_services()] == ["recommendation"]


def test_the_feast_command_line_sees_the_same_registry(feast: "FeatureStore", redis_settings: SharedSettings) -> None:
    command = Path(sys.executable).with_name("feast")
    result = subprocess.run(
        [command, "-c", PROJECT_ROOT / "feature_repo", "feature-views", "list"],
        env={**os.environ, **feast_environment(redis_settings)},
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert result.returncode == 0, result.stderr
    assert "session_events" in result.stdout


def test_feast_apply_reads_definitions_only(tmp_path: Path) -> None:
    settings = SharedSettings(nextclick_home=tmp_path, redis_url="sqlite")
    repository = shutil.copytree(PROJECT_ROOT / "feature_repo", tmp_path / "feature_repo")
    result = subprocess.run(
        [Path(sys.executable).with_name("feast"), "-c", repository, "apply"],
        env={**os.environ, **feast_environment(settings)},
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert result.returncode == 0, result.stderr
    assert {view.name for view in open_feature_store(settings).list_feature_views()} >= {"session_events"}
