"""The archive on real Kafka: every event once, wherever the writer is cut off."""

import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow.dataset as ds
import pytest

import streaming.archive
from feature_repo.archive_schema import EVENT_ARCHIVE_SCHEMA
from feature_repo.schema import Event, EventType
from streaming.archive import run_archive
from streaming.settings import StreamingSettings
from tests.integration.stage_thread import running, wait_until

if TYPE_CHECKING:
    from tests.integration.conftest import Sender

MIDNIGHT_MS = 1_700_006_400_000  # 2023-11-15T00:00:00Z


@pytest.fixture
def settings(streaming_settings: StreamingSettings, tmp_path: Path) -> StreamingSettings:
    return streaming_settings.model_copy(update={"archive_path": tmp_path / "archive"})


def _events(run_id: str, count: int) -> list[Event]:
    """On two dates, in turn."""
    return [
        Event(f"{run_id}-{n}", EventType.LIKE, f"s{n % 9}", f"item-{n}", MIDNIGHT_MS - 500 + n % 1000, None, {"n": n})
        for n in range(count)
    ]


def _archived(settings: StreamingSettings) -> list[str]:
    if not settings.archive_path.exists():
        return []
    dataset = ds.dataset(settings.archive_path, EVENT_ARCHIVE_SCHEMA, format="parquet")
    try:
        return sorted(dataset.to_table()["event_id"].to_pylist())
    except FileNotFoundError:  # a writer has just removed what an earlier one had not committed
        return []


def _ids(events: list[Event]) -> list[str]:
    return sorted(event.event_id for event in events)


def test_every_event_is_archived_under_its_date_and_bad_messages_are_left_out(
    settings: StreamingSettings, sender: "Sender", run_id: str
) -> None:
    events = _events(run_id, 1200)
    with running(run_archive, settings):
        sender.raw(b"s", b"not json")
        sender.events(events)
        wait_until("the archive to be complete", lambda: len(_archived(settings)) == len(events))
    assert _archived(settings) == _ids(events)
    dates = {path.name for path in settings.archive_path.iterdir()}
    assert dates == {"event_date=2023-11-14", "event_date=2023-11-15"}


def test_a_stop_writes_what_is_buffered_and_a_restart_repeats_nothing(
    settings: StreamingSettings, sender: "Sender", run_id: str
) -> None:
    events = _events(run_id, 600)
    first = settings.model_copy(update={"archive_flush_seconds": 0.05, "consumer_batch_size": 50})
    sender.events(events[:300])
    with running(run_archive, first):
        wait_until("a first file", lambda: bool(_archived(settings)))
    sender.events(events[300:])
    with running(run_archive, settings):
        wait_until("the archive to be complete", lambda: len(_archived(settings)) >= len(events))
    with running(run_archive, settings):
        time.sleep(1)
    assert _archived(settings) == _ids(events)


def test_a_crash_between_write_and_commit_repeats_nothing(
    settings: StreamingSettings, sender: "Sender", run_id: str
) -> None:
    events = _events(run_id, 400)
    sender.events(events[:300])
    _crash_before_commit(settings)
    assert _archived(settings)
    sender.events(events[300:])
    cut_elsewhere = settings.model_copy(update={"archive_flush_rows": 40, "consumer_batch_size": 30})
    with running(run_archive, cut_elsewhere):
        wait_until("the archive to be complete", lambda: len(_archived(settings)) >= len(events))
    assert _archived(settings) == _ids(events)


def _crash_before_commit(settings: StreamingSettings) -> None:
    class CrashError(Exception):
        pass

    def crash(*_: object) -> bool:
        raise CrashError

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(streaming.archive, "commit", crash)
        with pytest.raises(CrashError):
            run_archive(settings, threading.Event())


def test_two_writers_share_the_work(settings: StreamingSettings, sender: "Sender", run_id: str) -> None:
    events = _events(run_id, 600)
    with running(run_archive, settings):
        sender.events(events[:200])
        with running(run_archive, settings):
            sender.events(events[200:400])
            wait_until("two thirds", lambda: len(_archived(settings)) >= 400)
        sender.events(events[400:])
        wait_until("the archive to be complete", lambda: len(_archived(settings)) >= len(events))
    assert _archived(settings) == _ids(events)
