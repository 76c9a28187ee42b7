"""Feast's own offline store reads the archive's folder as it is, for feature views that others define on it."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import uuid4

import pandas as pd
import pytest

from feature_repo.archive.folder import open_archive
from feature_repo.archive.names import OffsetRange
from feature_repo.feature_store import open_feature_store
from feature_repo.schema import Event, EventType
from feature_repo.settings import SharedSettings
from streaming.archive.files import write_events
from streaming.jobs.compaction import CompactionOptions, compact

DAY_MS = 86_400_000
MIDNIGHT_MS = 1_700_006_400_000  # 2023-11-15T00:00:00Z
SESSIONS = 5


@pytest.fixture
def settings(tmp_path: Path) -> SharedSettings:
    return SharedSettings(nextclick_home=tmp_path, archive_path=tmp_path / "archive")


@pytest.fixture
def events(settings: SharedSettings) -> list[Event]:
    """Three days of two partitions in many files. Some were compacted."""
    topic_id = uuid4().hex
    archive = open_archive(settings.archive_path)
    events = [
        Event(f"event-{n}", EventType.VIEW, f"session-{n % SESSIONS}", f"item-{n}", MIDNIGHT_MS + n * DAY_MS // 100)
        for n in range(300)
    ]
    for partition in (0, 1):
        mine = [(n, event) for n, event in enumerate(events) if n % SESSIONS % 2 == partition]
        for start in range(0, len(mine), 20):
            part = mine[start : start + 20]
            write_events(archive, part, OffsetRange(topic_id, partition, part[0][0], part[-1][0] + 1))
    assert any(each.merges for each in compact(archive, CompactionOptions(older_than_seconds=0)))
    return events


def test_the_newest_event_of_a_session_at_any_time(settings: SharedSettings, events: list[Event]) -> None:
    from feast import Entity, FeatureView, Field, FileSource, ValueType
    from feast.types import String

    session = Entity(name="session", join_keys=["session_id"], value_type=ValueType.STRING)
    newest = FeatureView(
        name="newest_event",
        entities=[session],
        ttl=timedelta(days=1),
        schema=[Field(name="item_id", dtype=String), Field(name="event_type", dtype=String)],
        source=FileSource(name="archive", path=str(settings.archive_path), timestamp_field="event_timestamp"),
    )
    store = open_feature_store(settings)
    store.apply([session, newest])
    at_ms = [MIDNIGHT_MS + n * DAY_MS // 100 + DAY_MS // 200 for n in (4, 42, 150, 299)]
    asked = pd.DataFrame(
        [
            {"session_id": f"session-{n}", "event_timestamp": datetime.fromtimestamp(ms / 1000, UTC)}
            for ms in at_ms
            for n in range(SESSIONS)
        ]
    )
    found = store.get_historical_features(asked, ["newest_event:item_id", "newest_event:event_type"]).to_df()
    answers = {(row.session_id, row.event_timestamp): row.item_id for row in found.itertuples()}
    expected = {}
    for session_id, time in answers:
        until_ms = time.timestamp() * 1000
        before = [event for event in events if event.session_id == session_id and event.timestamp_ms <= until_ms]
        expected[session_id, time] = before[-1].item_id
    assert answers == expected
    assert len(answers) == len(asked)
    assert set(found["event_type"]) == {"view"}
