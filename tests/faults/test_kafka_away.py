"""A member whose brokers do not answer goes on asking, and uses up nothing by it."""

import gc
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from uuid import uuid4

import psutil
import pytest
from kafka import KafkaProducer

from streaming.kafka import connection as kafka_connection
from streaming.kafka.consumer import PatientConsumer
from streaming.kafka.topics import ensure_topics
from streaming.settings import StreamingSettings
from tests.support.own_servers import Server
from tests.support.waiting import wait_until


@pytest.fixture
def settings(broker: Server, tmp_path: Path) -> StreamingSettings:
    name = uuid4().hex[:8]
    return StreamingSettings(
        nextclick_home=tmp_path,
        kafka_bootstrap_servers=broker.address,
        events_topic=f"events-{name}",
        consumer_group=f"streaming-{name}",
        topic_partitions=1,
    )


@pytest.fixture
def tries_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kafka_connection, "_RECONNECT_MS", 50)


@pytest.fixture
def no_garbage_collector() -> Iterator[None]:
    """It would close what nobody else does, sooner or later."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


@pytest.mark.usefixtures("tries_often", "no_garbage_collector")
def test_it_neither_gives_up_nor_gathers_sockets(
    settings: StreamingSettings, broker: Server, caplog: pytest.LogCaptureFixture
) -> None:
    ensure_topics(settings)
    process = psutil.Process()

    def lookups_failed() -> int:
        """How often it did not learn who coordinates its group; before the first, heartbeats have failed."""
        return caplog.text.count("Error sending FindCoordinatorRequest")

    with closing(PatientConsumer(settings, settings.consumer_group, [settings.events_topic])) as member:
        wait_until("partitions", lambda: bool(member.poll() or member.kafka.assignment()))
        before = process.num_fds()
        broker.kill()
        try:
            # Waits for the answer to its request for metadata, whatever that is.
            wait_until("tries", lambda: not member.poll(wait_ms=2000) and lookups_failed() >= 10)
            during = process.num_fds()
        finally:
            broker.start()
        with closing(KafkaProducer(bootstrap_servers=settings.kafka_bootstrap_servers)) as producer:
            producer.send(settings.events_topic, b"hello").get(timeout=20)
        wait_until("what was sent since", lambda: bool(member.poll()))
    assert during <= before
