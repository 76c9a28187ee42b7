"""A member whom the group deals the same partitions again goes on from the committed offsets, and so loses nothing."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from uuid import uuid4

import pytest

from feature_repo.archive_folder import open_archive
from feature_repo.archive_reader import read_archive
from streaming.archive import Archive
from streaming.metrics import StreamingMetrics
from streaming.settings import StreamingSettings
from streaming.topics import ensure_topics
from tests.faults.feeding import Feeder
from tests.faults.own_servers import Server
from tests.faults.planted_stream import PARTITIONS, planted_stream


@pytest.fixture
def settings(broker: Server, tmp_path: Path) -> StreamingSettings:
    name = uuid4().hex[:8]
    return StreamingSettings(
        nextclick_home=tmp_path,
        kafka_bootstrap_servers=broker.address,
        events_topic=f"events-{name}",
        archive_group=f"archive-{name}",
        topic_partitions=PARTITIONS,
        archive_flush_seconds=3600,
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


def _step_until(archive: Archive, buffered: int) -> None:
    for _ in range(300):
        if archive.buffered_events == buffered:
            return
        archive.step()
    raise AssertionError(f"{archive.buffered_events} events buffered, not {buffered}")
