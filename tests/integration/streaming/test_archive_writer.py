"""The archive on real Kafka: every event once, wherever the writer is cut off."""

import threading
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow.dataset as ds
import pytest

from feature_repo.archive.columns import EVENT_ARCHIVE_SCHEMA
from feature_repo.archive.folder import open_archive
from feature_repo.archive.reader import read_archive
from feature_repo.schema import Event, EventType
from streaming.archive.writer import Archive, run_archive
from streaming.erasures import Erasures, send_erasures
from streaming.jobs.compaction import CompactionOptions, compact
from streaming.kafka.consumer import PatientConsumer
from streaming.kafka.topics import ensure_topics
from streaming.settings import StreamingSettings
from streaming.stage.metrics import StreamingMetrics
from tests.support.stage_thread import running
from tests.support.waiting import wait_until

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
    events = _events(run_id, 650)
    first = settings.model_copy(update={"archive_flush_seconds": 0.05, "consumer_batch_size": 50})
    sender.events(events[:300])
    with running(run_archive, first):
        wait_until("a first file", lambda: bool(_archived(settings)))
    sender.events(events[300:600])
    with running(run_archive, settings):
        wait_until("what was sent meanwhile", lambda: len(_archived(settings)) >= 600)
    sender.events(events[600:])
    with running(run_archive, settings):
        wait_until("the archive to be complete", lambda: len(_archived(settings)) >= len(events))
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
        patch.setattr(PatientConsumer, "commit", crash)
        with pytest.raises(CrashError):
            run_archive(settings, threading.Event())


def _read_once(settings: StreamingSettings) -> list[str]:
    """As training and backfill read it."""
    return sorted(read_archive(open_archive(settings.archive_path), ["event_id"])["event_id"].to_pylist())


def test_a_writer_that_comes_back_after_its_successor_wrote_repeats_nothing_for_our_readers(
    settings: StreamingSettings, sender: "Sender", run_id: str
) -> None:
    events = _events(run_id, 500)
    sender.events(events[:300])
    patient = settings.model_copy(update={"archive_flush_seconds": 3600})
    stalled = Archive(patient, ensure_topics(settings)[settings.events_topic], StreamingMetrics())
    wait_until("it to hold everything", lambda: stalled.step() or stalled.buffered_events == 300)
    stalled._kafka.kafka.close(autocommit=False)  # the group deals its partitions out without its noticing
    with running(run_archive, settings):
        sender.events(events[300:400])
        wait_until("the successor", lambda: len(_read_once(settings)) == 400)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(stalled._kafka, "commit", lambda _: False)  # as Kafka answers one that is no member
            stalled.finish()
        assert len(_archived(settings)) > 400
        assert _read_once(settings) == _ids(events[:400])
        sender.events(events[400:])
        wait_until("the rest", lambda: len(_read_once(settings)) == 500)
    stalled._erasures.close()
    assert _read_once(settings) == _ids(events)
    compact(open_archive(settings.archive_path), CompactionOptions(older_than_seconds=0))
    assert _archived(settings) == _read_once(settings) == _ids(events)


def test_while_the_archive_cannot_be_written_nothing_is_committed_and_then_nothing_is_missing(
    settings: StreamingSettings, sender: "Sender", run_id: str, tmp_path: Path
) -> None:
    events = _events(run_id, 900)
    blocked = tmp_path / "blocked"
    blocked.write_text("a file where a folder should be")
    settings = settings.model_copy(update={"archive_path": blocked / "archive", "archive_flush_rows": 200})
    sender.events(events)
    metrics = StreamingMetrics()
    archive = Archive(settings, ensure_topics(settings)[settings.events_topic], metrics)
    failures, tries = 0.0, 0
    while tries < 4:
        archive.step()
        failed = metrics.retries._value.get() > failures
        failures, tries = failures + failed, tries + failed
        assert archive.buffered_events <= 200 + settings.consumer_batch_size
        assert archive.buffered_events == 0 or not failed
        assert archive._kafka.is_paused == (tries > 0)
    partitions = archive._kafka.kafka.assignment()
    assert len(partitions) == 3
    assert not any(archive._kafka.kafka.committed(partition) for partition in partitions)
    blocked.unlink()
    wait_until("the archive to be complete", lambda: archive.step() or len(_archived(settings)) >= 900)
    assert not archive._kafka.is_paused
    archive.close()
    assert _archived(settings) == _ids(events)


def test_events_of_an_erased_person_are_not_archived(
    settings: StreamingSettings, sender: "Sender", run_id: str
) -> None:
    Erasures(settings).close()
    now_ms = send_erasures(settings, f"{run_id}-gone", ["s1"])
    people = {1: f"{run_id}-gone", 2: f"{run_id}-other"}
    events = [
        Event(f"{run_id}-{n}", EventType.VIEW, f"s{n % 3}", "i", now_ms - 400_000, people.get(n % 5)) for n in range(90)
    ]
    sender.events(events)
    kept = [event for event in events if event.session_id != "s1" and event.user_id != f"{run_id}-gone"]
    with running(run_archive, settings):
        wait_until("the archive to be complete", lambda: len(_archived(settings)) >= len(kept))
        send_erasures(settings, f"{run_id}-other", [])
        wait_until_flushed = [Event(f"{run_id}-x{n}", EventType.VIEW, "s2", "i", now_ms - 400_000) for n in range(3)]
        sender.events([Event(f"{run_id}-y", EventType.VIEW, "s2", "i", now_ms, f"{run_id}-other"), *wait_until_flushed])
        wait_until("the last", lambda: f"{run_id}-x2" in _archived(settings))
    assert _archived(settings) == sorted([*_ids(kept), *_ids(wait_until_flushed)])


def test_an_archive_in_another_store_than_a_disk(settings: StreamingSettings, sender: "Sender", run_id: str) -> None:
    settings = settings.model_copy(update={"archive_path": f"memory://{run_id}/events"})
    events = _events(run_id, 300)
    sender.events(events[:200])
    with running(run_archive, settings):
        wait_until("a part", lambda: len(_read_once(settings)) == 200)
    sender.events(events[200:])
    with running(run_archive, settings):
        wait_until("the archive to be complete", lambda: len(_read_once(settings)) >= 300)
    assert _read_once(settings) == _ids(events)


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
