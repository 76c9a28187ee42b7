"""A member whose brokers do not answer goes on asking, uses up nothing by it, and says so once."""

import gc
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from uuid import uuid4

import psutil
import pytest
from kafka import KafkaProducer

from streaming.kafka import connection as kafka_connection
from streaming.kafka.consumer import PatientConsumer
from streaming.kafka.topics import ensure_topics
from streaming.settings import StreamingSettings
from tests.faults.stages import stage, stage_settings
from tests.support.own_names import own_names
from tests.support.own_servers import Server, redis_server
from tests.support.programs import Process
from tests.support.waiting import LIMIT_SECONDS, wait_until

AWAY_SECONDS = 40.0
"""More than the longest that a call of Kafka's client takes to give up."""
SILENT_SECONDS = 14.0
"""More than what counts as silence."""


@pytest.fixture
def settings(broker: Server, tmp_path: Path) -> StreamingSettings:
    names = own_names(uuid4().hex[:8])
    return StreamingSettings(
        nextclick_home=tmp_path, kafka_bootstrap_servers=broker.address, topic_partitions=1, **names
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
            producer.send(settings.events_topic, b"hello").get(LIMIT_SECONDS)
        wait_until("what was sent since", lambda: bool(member.poll()))
    assert during <= before


def test_an_absence_is_one_line_of_each_stage_when_it_begins_and_one_when_it_ends(
    settings: StreamingSettings, broker: Server, definitions: Path, tmp_path: Path
) -> None:
    """Long enough for whatever a stage asks Kafka for to fail meanwhile."""
    with ExitStack() as stack:
        store = stack.enter_context(redis_server(tmp_path))
        settings = stage_settings(broker, store, definitions, settings.consumer_group).model_copy(
            update={"archive_path": tmp_path / "archive", "archive_flush_seconds": 0.2}
        )
        stages = [
            stack.enter_context(stage(part, settings, tmp_path / f"{part}.log", options=()))
            for part in ("consumer", "archive", "catalogue")
        ]
        wait_until("partitions", lambda: all("partitions assigned: " in each.log_text() for each in stages), stages)
        before = [len(troubles(each)) for each in stages]

        def since() -> list[list[str]]:
            return [troubles(each)[count:] for each, count in zip(stages, before, strict=True)]

        broker.kill()
        try:
            wait_until("the lines that it begins", lambda: all(since()), stages)
            time.sleep(AWAY_SECONDS)
        finally:
            broker.start()
        wait_until("the lines that it ends", lambda: all(len(lines) > 1 for lines in since()), stages)
        assert [each.stop() for each in stages] == [0, 0, 0]
        for began, ended in since():
            assert f"Kafka does not answer at {broker.address}" in began
            assert f"Kafka at {broker.address} answers again, after " in ended


def test_a_broker_that_hangs_is_away_as_well(
    settings: StreamingSettings, broker: Server, caplog: pytest.LogCaptureFixture
) -> None:
    """Its machine takes connections and requests, so nothing breaks; and while we are busy, answers wait to be read."""
    ensure_topics(settings)
    frozen = psutil.Process(broker.pid)

    def lines() -> list[str]:
        return [record.getMessage() for record in caplog.records if record.name == "streaming.kafka.outage"]

    with closing(PatientConsumer(settings, settings.consumer_group, [settings.events_topic])) as member:
        wait_until("partitions", lambda: bool(member.poll() or member.kafka.assignment()))
        member.poll()
        time.sleep(SILENT_SECONDS)  # as long as the store hangs, for one
        assert lines() == []
        member.poll()
        frozen.suspend()
        try:
            wait_until("the line that it begins", lambda: not member.poll() and bool(lines()))
            asked_again = time.monotonic() + AWAY_SECONDS
            while time.monotonic() < asked_again:  # until it has given connections up
                member.poll()
            assert len(lines()) == 1
        finally:
            frozen.resume()
        wait_until("the line that it ends", lambda: not member.poll() and len(lines()) > 1)
    began, ended = lines()
    assert began.startswith(f"Kafka at {broker.address} is connected, but has answered nothing")
    assert f"Kafka at {broker.address} answers again, after " in ended


def troubles(process: Process) -> list[str]:
    """Lines of its log that are more than news."""
    return [line for line in process.log_text().splitlines() if " INFO " not in line]
