"""Backfill leaves what streaming left, byte for byte, and changes nothing where that is there already."""

import json
import random
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from kafka import KafkaAdminClient, KafkaConsumer, TopicPartition
from typer.testing import CliRunner

import feature_repo.archive.reader
from feature_repo.archive.folder import open_archive
from feature_repo.errors import ArchiveError
from feature_repo.schema import Event, EventType, Item
from feature_repo.session import fold
from nextclick.cli import commands
from streaming.archive.writer import run_archive
from streaming.jobs.backfill import Backfilled, Times, backfill
from streaming.jobs.compaction import CompactionOptions, compact
from streaming.sessions.consumer import run_consumer
from streaming.settings import StreamingSettings
from tests.support.empty_store import dump, empty, empty_store
from tests.support.stage_thread import running
from tests.support.stored_rows import StoredRows
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from tests.integration.conftest import Sender

DAY_MS = 86_400_000
NOW_MS = time.time_ns() // 1_000_000
ITEMS = [f"i{n}" for n in range(30)]


def _events(seed: int, count: int) -> list[Event]:
    """Short and long sessions over three days, late events, repeats, and users with several sessions."""
    rng = random.Random(seed)
    return [
        Event(
            event_id=f"e{rng.randrange(count)}",
            event_type=rng.choice(list(EventType)),
            session_id=f"s{min(39, int(rng.expovariate(0.1)))}",
            item_id=rng.choice(ITEMS),
            timestamp_ms=NOW_MS - rng.randrange(0, 3 * DAY_MS),
            user_id=rng.choice([None, "u1", "u2", "u3"]),
            attributes={"duration_ms": 5},
        )
        for _ in range(count)
    ]


@pytest.fixture
def settings(
    streaming_settings: StreamingSettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[StreamingSettings]:
    """With a catalogue in the store, small batches and small files."""
    monkeypatch.setattr("streaming.sessions.consumer.apply", lambda _: False)  # nobody reads by Feast's registry here
    with empty_store(streaming_settings) as own:
        writer = StoredRows(own)
        writer.write_items(Item(item_id, category=f"c{n % 3}" if n % 4 else "") for n, item_id in enumerate(ITEMS))
        writer.close()
        yield own.model_copy(
            update={"archive_path": tmp_path / "archive", "consumer_batch_size": 170, "hot_events": 60}
        )


def _stream(settings: StreamingSettings, sender: "Sender", events: list[Event]) -> None:
    """Through Kafka into store and archive, with some messages that are no events."""
    with running(run_consumer, settings), running(run_archive, settings):
        for start in range(0, len(events), 400):
            sender.raw(b"s", b"not json")
            sender.events(events[start : start + 400])
            time.sleep(0.2)
        _wait_for_commits(settings, settings.consumer_group, settings.archive_group)


def _wait_for_commits(settings: StreamingSettings, *groups: str) -> None:
    """Until these groups are at the topic's end."""
    kafka = KafkaConsumer(bootstrap_servers=settings.kafka_bootstrap_servers)
    partitions = [TopicPartition(settings.events_topic, n) for n in range(settings.topic_partitions)]
    ends = kafka.end_offsets(partitions)
    kafka.close()
    admin = KafkaAdminClient(bootstrap_servers=settings.kafka_bootstrap_servers)

    def is_at_end(group: str) -> bool:
        committed = admin.list_group_offsets({group: partitions})[group]
        return all(committed[partition].offset == ends[partition] for partition in partitions)

    for group in groups:
        wait_until(group, lambda group=group: is_at_end(group))
    admin.close()


def test_an_emptied_store_becomes_what_streaming_left(
    settings: StreamingSettings, sender: "Sender", monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feature_repo.archive.reader, "_BATCH_ROWS", 64)
    events = _events(5, 1600)
    _stream(settings, sender, events)
    streamed = dump(settings)
    assert len(streamed) > len(ITEMS) + 40

    assert backfill(settings, Times()).new == 0
    assert dump(settings) == streamed

    empty(settings, keep=b"item_id")
    seen: list[tuple[int, int, int]] = []
    result = backfill(settings, Times(), lambda *counts: seen.append(counts), batch_size=170)
    assert dump(settings) == streamed
    assert result == Backfilled(partitions=3, new=result.new, repeated=1600 - result.new)
    assert seen[-1][0] == seen[-1][1] == 1600 + 4
    assert seen[-1][2] == 1600

    compact(open_archive(settings.archive_path), CompactionOptions(older_than_seconds=0))
    empty(settings, keep=b"item_id")
    backfill(settings, Times(), batch_size=23)
    assert dump(settings) == streamed


def test_a_span_of_time_in_the_command_line(
    settings: StreamingSettings, sender: "Sender", monkeypatch: pytest.MonkeyPatch
) -> None:
    events = _events(6, 500)
    _stream(settings, sender, events)
    empty(settings, keep=b"item_id")
    for name in ("kafka_bootstrap_servers", "archive_path", "erasures_topic"):
        monkeypatch.setenv(name.upper(), str(getattr(settings, name)))
    monkeypatch.setenv("REDIS_URL", settings.redis_url.get_secret_value())
    since, until = NOW_MS - DAY_MS, NOW_MS - DAY_MS // 2
    span = ["--from", _iso(since), "--to", _iso(until), "--json", "-"]
    answer = CliRunner().invoke(commands, ["backfill", *span], catch_exceptions=False)
    assert answer.exit_code == 0, answer.output
    within = [event for event in events if since <= event.timestamp_ms < until]
    numbers = json.loads(answer.stdout)
    assert "events/s" in answer.stderr  # the table, for people
    assert numbers["new"] + numbers["repeated"] == len(within)
    writer = StoredRows(settings)
    for session_id in {event.session_id for event in within}:
        expected = fold(None, [event for event in within if event.session_id == session_id])
        assert writer.read_sessions([session_id])[session_id] == expected
    writer.close()
    assert "new" in CliRunner().invoke(commands, ["backfill", "--from", "2020-01-01"]).output
    assert CliRunner().invoke(commands, ["backfill", "--from", "yesterday"]).exit_code == 2


def _iso(time_ms: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(time_ms // 1000)) + f".{time_ms % 1000:03d}"


def test_a_span_of_time_takes_nothing_from_a_consumer_that_lags(settings: StreamingSettings, sender: "Sender") -> None:
    """Popular items take each offset once, in order: events before those of the span would never be counted."""
    events = _events(8, 300)
    sender.events(events)
    with running(run_archive, settings):
        _wait_for_commits(settings, settings.archive_group)
    assert backfill(settings, Times(since=NOW_MS - DAY_MS)).folded == 0
    with running(run_consumer, settings):
        _wait_for_commits(settings, settings.consumer_group)
    found = dump(settings)
    empty(settings, keep=b"item_id")
    backfill(settings, Times())
    assert found == dump(settings)
    assert any(b"scope" in key for key in found)


def test_an_empty_archive_is_told(settings: StreamingSettings) -> None:
    with pytest.raises(ArchiveError, match="there are no events of that time"):
        backfill(settings, Times())


def test_files_that_a_compaction_removes_meanwhile_do_no_harm(settings: StreamingSettings, sender: "Sender") -> None:
    events = _events(7, 900)
    _stream(settings.model_copy(update={"archive_flush_rows": 60}), sender, events)
    streamed = dump(settings)
    empty(settings, keep=b"item_id")
    archive = open_archive(settings.archive_path)
    compacted = []

    def progress(*_: int) -> None:
        if not compacted:
            compacted.append(compact(archive, CompactionOptions(older_than_seconds=0)))

    backfill(settings, Times(), progress, batch_size=20)
    assert compacted[0]
    assert dump(settings) == streamed
