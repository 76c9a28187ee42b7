"""A member that joins its group again loses nothing and keeps nobody waiting."""

import threading
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from uuid import uuid4

import pytest

from feature_repo.archive.folder import open_archive
from feature_repo.archive.reader import read_archive
from streaming.archive.writer import Archive
from streaming.kafka.consumer import PatientConsumer
from streaming.kafka.topics import ensure_topics
from streaming.settings import StreamingSettings
from streaming.stage.metrics import StreamingMetrics
from tests.faults.feeding import Feeder
from tests.support.own_names import own_names
from tests.support.own_servers import Server
from tests.support.planted_stream import PARTITIONS, planted_stream
from tests.support.stage_thread import running
from tests.support.waiting import wait_until


@pytest.fixture
def settings(broker: Server, tmp_path: Path) -> StreamingSettings:
    return StreamingSettings(
        nextclick_home=tmp_path,
        kafka_bootstrap_servers=broker.address,
        topic_partitions=PARTITIONS,
        archive_flush_seconds=3600,
        **own_names(uuid4().hex[:8]),
    )


@pytest.fixture
def feeder(settings: StreamingSettings) -> Iterator[Feeder]:
    ensure_topics(settings)
    with closing(Feeder(settings, planted_stream(4, 1500, 0))) as feeder:
        yield feeder


def test_what_is_buffered_when_the_group_rejoins_is_archived(settings: StreamingSettings, feeder: Feeder) -> None:
    topic_id = ensure_topics(settings)[settings.events_topic]
    with closing(Archive(settings, topic_id, StreamingMetrics())) as archive:
        feeder.feed_all(1000)
        _step_until(archive, 1000)
        archive._kafka.kafka._coordinator.request_rejoin()
        for _ in range(10):
            archive.step()
        feeder.feed_all(1500)
        _step_until(archive, 1500)
        archive.finish()
    ids = read_archive(open_archive(settings.archive_path), ["kafka_partition", "kafka_offset"])
    assert len(set(zip(*(column.to_pylist() for column in ids.columns), strict=True))) == ids.num_rows == 1500


def test_an_answer_between_two_polls_is_taken_and_not_asked_for_again(settings: StreamingSettings) -> None:
    """To ask again has every other member stop and join again, once its next heartbeat tells it to."""
    ensure_topics(settings)
    members: list[PatientConsumer] = []

    def poll_in_peace(settings: StreamingSettings, stop: threading.Event) -> None:
        with closing(PatientConsumer(settings, settings.archive_group, [settings.events_topic])) as second:
            members.append(second)
            while not stop.is_set():
                second.poll()

    with closing(PatientConsumer(settings, settings.archive_group, [settings.events_topic])) as first:
        members.append(first)
        wait_until("the first to have all partitions", lambda: not first.poll() and _dealt(members) == [PARTITIONS])
        with running(poll_in_peace, settings):
            wait_until("each to have half of them", lambda: _polled_in_haste(first) and _dealt(members) == [2, 2])
            generations = [member.kafka._coordinator._generation.generation_id for member in members]
    assert generations == [2, 2]


def _dealt(members: list[PatientConsumer]) -> list[int]:
    return [len(member.kafka.assignment()) for member in members]


def _polled_in_haste(consumer: PatientConsumer) -> bool:
    """As by one that has a batch in flight: whatever it asks is answered after the poll."""
    consumer.poll(0)
    time.sleep(0.2)
    return True


def _step_until(archive: Archive, buffered: int) -> None:
    wait_until(f"{buffered} events to be buffered", lambda: archive.step() or archive.buffered_events == buffered)
