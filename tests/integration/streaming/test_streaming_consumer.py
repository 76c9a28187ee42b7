"""The consumer on real Kafka and Redis: whatever happens to it, the store ends up as if each event came once."""

import json
import os
import random
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from kafka import KafkaConsumer, KafkaProducer, TopicPartition
from kafka.consumer.fetcher import ConsumerRecord

from feature_repo.schema import Event, EventType
from feature_repo.session import Session, fold
from streaming.events.parser import event_to_json
from streaming.kafka.whole_topic import open_whole_topic
from streaming.sessions.consumer import run_consumer
from streaming.settings import StreamingSettings
from tests.support.own_servers import redis_server
from tests.support.ports import free_ports
from tests.support.programs import Process
from tests.support.stage_thread import running
from tests.support.stored_rows import StoredRows
from tests.support.waiting import LIMIT_SECONDS, wait_until

if TYPE_CHECKING:
    from tests.integration.conftest import Sender

NOW_MS = time.time_ns() // 1_000_000
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # Feast's own imports


def _events(run_id: str, count: int, sessions: int = 20) -> list[Event]:
    return [
        Event(
            f"{run_id}-{n}",
            EventType.VIEW,
            f"{run_id}-s{n % sessions}",
            f"item-{n}",
            NOW_MS + n,
            "u" if n % 7 else None,
        )
        for n in range(count)
    ]


def _expected(events: list[Event]) -> dict[str, Session]:
    sessions: dict[str, Session] = {}
    for event in events:
        sessions[event.session_id] = fold(sessions.get(event.session_id), [event])
    return sessions


def _wait_for_store(settings: StreamingSettings, events: list[Event]) -> None:
    expected = _expected(events)
    writer = StoredRows(settings)
    wait_until("the store to show every event", lambda: writer.read_sessions(expected) == expected)
    writer.close()


def _process(settings: StreamingSettings, log: Path) -> Process:
    """A consumer, to be entered."""
    names = ("kafka_bootstrap_servers", "events_topic", "dead_letter_topic", "consumer_group", "nextclick_home")
    environment = {name.upper(): str(getattr(settings, name)) for name in names}
    environment |= {"REDIS_URL": settings.redis_url.get_secret_value(), "OMP_NUM_THREADS": "1"}
    return Process([sys.executable, "-m", "streaming", "consumer"], log, os.environ | environment)


def _offsets(settings: StreamingSettings) -> tuple[int, int]:
    """Offsets committed by the group and messages in the topic, both summed over partitions."""
    consumer = KafkaConsumer(
        bootstrap_servers=settings.kafka_bootstrap_servers, group_id=settings.consumer_group, enable_auto_commit=False
    )
    partitions = [TopicPartition(settings.events_topic, number) for number in range(settings.topic_partitions)]
    committed = sum(consumer.committed(partition) or 0 for partition in partitions)
    end = sum(consumer.end_offsets(partitions).values())
    consumer.close()
    return committed, end


def _dead_letters(settings: StreamingSettings, count: int) -> list[tuple[bytes | None, bytes | None, dict[str, str]]]:
    """Key, value and headers of each, once there are so many."""
    with closing(open_whole_topic(settings, settings.dead_letter_topic)) as topic:
        letters: list[ConsumerRecord] = []
        wait_until(f"{count} dead letters", lambda: letters.extend(topic.unread()) or len(letters) >= count)
    return [(each.key, each.value, {name: value.decode() for name, value in each.headers}) for each in letters]


@pytest.mark.parametrize("batch_size", [2000, 50])  # the second makes a backlog of many batches
def test_shuffled_and_repeated_events_become_the_same_sessions(
    streaming_settings: StreamingSettings, sender: "Sender", run_id: str, batch_size: int
) -> None:
    events = _events(run_id, 1500)
    shuffled = events + random.sample(events, 300)
    random.shuffle(shuffled)
    with running(run_consumer, streaming_settings.model_copy(update={"consumer_batch_size": batch_size})):
        sender.events(shuffled[:900])
        sender.events(shuffled[900:])
        _wait_for_store(streaming_settings, events)
    assert _offsets(streaming_settings) == (1800, 1800)


def test_a_small_memory_reads_cold_sessions_back(
    streaming_settings: StreamingSettings, sender: "Sender", run_id: str
) -> None:
    changes = {"hot_events": 30, "consumer_batch_size": 7, "metrics_port": free_ports(1)[0]}
    settings = streaming_settings.model_copy(update=changes)
    events = _events(run_id, 300)
    sender.events(events)
    with running(run_consumer, settings):
        _wait_for_store(settings, events)
        read = _number(settings, 'nextclick_hot_sessions_total{result="miss"}')
    sessions = len(_expected(events))
    assert read > 2 * sessions, "each is read once in any case, when its first event comes"


def test_what_is_no_event_becomes_a_dead_letter_and_holds_nothing_up(
    streaming_settings: StreamingSettings, sender: "Sender", run_id: str
) -> None:
    (event,) = _events(run_id, 1)
    bad = {"event_id": "e", "event_type": "click", "session_id": "s", "item_id": "i", "timestamp_ms": 1}
    sent: list[tuple[bytes | None, bytes | None]] = [
        (b"s", b"\xffnot json"),
        (b"s", json.dumps(bad).encode()),
        (b"s", None),
        (None, b"{}"),
        (b"s", b"x" * 1_000_000),
    ]
    with running(run_consumer, streaming_settings):
        for key, value in sent:
            sender.raw(key, value)
        sender.events([event])
        _wait_for_store(streaming_settings, [event])
        letters = _dead_letters(streaming_settings, len(sent))
        wait_until("offsets to be committed", lambda: _offsets(streaming_settings) == (len(sent) + 1, len(sent) + 1))
    by_offset = sorted(letters, key=lambda letter: int(letter[2]["offset"]))
    assert [(key, value) for key, value, _ in by_offset] == sent
    assert [headers["field"] for *_, headers in by_offset] == ["event", "event_type", "event", "event_id", "event"]
    assert by_offset[1][2]["error"].startswith("event_type: expected one of view, add_to_cart")
    assert {headers["topic"] for *_, headers in letters} == {streaming_settings.events_topic}
    assert {headers["partition"] for *_, headers in letters} == {"0"}


class _NotUtf8(str):
    """A header's name that our client sends as a byte that is no UTF-8."""

    def encode(self, *_: object) -> bytes:
        return b"\xff" + super().encode()


def test_a_header_whose_name_is_no_utf8_holds_nothing_up(
    streaming_settings: StreamingSettings, sender: "Sender", run_id: str
) -> None:
    event, other = _events(run_id, 2)
    headers = [(_NotUtf8("trace"), b"1")]
    sender.raw(event.session_id.encode(), event_to_json(event), headers)
    sender.raw(b"s", b"not json", headers)
    sender.raw(other.session_id.encode(), event_to_json(other))
    with running(run_consumer, streaming_settings):
        _wait_for_store(streaming_settings, [event, other])
        ((_, value, letter),) = _dead_letters(streaming_settings, 1)
    assert (value, letter["original.\\xfftrace"]) == (b"not json", "1")


def test_what_a_transaction_took_back_never_happened(
    streaming_settings: StreamingSettings, sender: "Sender", run_id: str
) -> None:
    before, aborted, committed, after = _events(run_id, 4)
    sender.events([before])
    producer = KafkaProducer(
        bootstrap_servers=streaming_settings.kafka_bootstrap_servers, transactional_id=f"{run_id}-producer"
    )
    producer.init_transactions()
    for event, end in ((aborted, producer.abort_transaction), (committed, producer.commit_transaction)):
        producer.begin_transaction()
        message = {"key": event.session_id.encode(), "value": event_to_json(event), "timestamp_ms": event.timestamp_ms}
        producer.send(streaming_settings.events_topic, **message)
        producer.flush()
        end()
    producer.close()
    sender.events([after])
    with running(run_consumer, streaming_settings):
        _wait_for_store(streaming_settings, [before, committed, after])
        writer = StoredRows(streaming_settings)
        assert not writer.read_sessions([aborted.session_id])
        writer.close()


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
def test_a_consumer_that_ends_and_starts_again_loses_and_repeats_nothing(
    streaming_settings: StreamingSettings, sender: "Sender", run_id: str, how: signal.Signals, tmp_path: Path
) -> None:
    events = _events(run_id, 6000, sessions=200)
    sender.events(events[:4000])
    with _process(streaming_settings, tmp_path / "first.log") as first:
        wait_until("the first batch", lambda: _offsets(streaming_settings)[0] > 0, [first])
        assert first.stop(how) == (-how if how is signal.SIGKILL else 0)
    sender.events(events[4000:])
    with _process(streaming_settings, tmp_path / "second.log") as second:
        _wait_for_store(streaming_settings, events)
        wait_until("offsets to be committed", lambda: _offsets(streaming_settings) == (6000, 6000), [second])
        assert second.stop() == 0


def test_sessions_move_between_consumers_without_loss(
    streaming_settings: StreamingSettings, sender: "Sender", run_id: str
) -> None:
    """All sessions begin with the first consumer, some go on with the second, and all end with the first."""
    first, second = (streaming_settings.model_copy(update={"metrics_port": free_ports(1)[0]}) for _ in range(2))
    events = _events(run_id, 900, sessions=60)  # so many that none of the three partitions goes without
    with running(run_consumer, first):
        sender.events(events[:300])
        _wait_for_store(first, events[:300])
        with running(run_consumer, second):
            wait_until("metrics", lambda: _answers(second.metrics_port))
            wait_until("partitions of the second", lambda: "nextclick_lag_messages{" in _http(second, "metrics"))
            sender.events(events[300:600])
            _wait_for_store(second, events[:600])
            wait_until("all to be counted", lambda: _written(first) + _written(second) == 600)
            by_second = _written(second)
            assert 0 < by_second < 300
        sender.events(events[600:])
        _wait_for_store(first, events)
        wait_until("all to be counted", lambda: _written(first) == 900 - by_second)


def test_metrics_count_what_happened(streaming_settings: StreamingSettings, sender: "Sender", run_id: str) -> None:
    settings = streaming_settings.model_copy(update={"metrics_port": free_ports(1)[0]})
    events = _events(run_id, 5, sessions=2)
    with running(run_consumer, settings):
        sender.raw(b"s", b"{}")
        sender.events([*events, events[0]])
        wait_until("offsets to be committed", lambda: _offsets(settings) == (7, 7))
        wait_until("the lag to be looked at", lambda: "nextclick_lag_messages{" in _http(settings, "metrics"))
        metrics = _http(settings, "metrics")
        assert _http(settings, "readyz") == "ready\n"
        assert _http(settings, "healthz") == "alive\n"
    for line in (
        'nextclick_events_total{event_type="view",result="written"} 5.0',
        'nextclick_events_total{event_type="view",result="duplicate"} 1.0',
        'nextclick_events_total{event_type="",result="rejected"} 1.0',
        'nextclick_dead_letters_total{field="event_id",reason="missing"} 1.0',
        "nextclick_event_visible_seconds_count 6.0",
        'nextclick_hot_sessions_total{result="miss"} 2.0',
        "nextclick_paused 0.0",
    ):
        assert line in metrics


def _written(settings: StreamingSettings) -> float:
    return _number(settings, 'nextclick_events_total{event_type="view",result="written"}')


def _number(settings: StreamingSettings, series: str) -> float:
    """The number of this name and labels in the consumer's metrics; 0 before the first."""
    lines = [line.rpartition(" ") for line in _http(settings, "metrics").splitlines()]
    return sum(float(number) for name, _, number in lines if name == series)


def _http(settings: StreamingSettings, path: str) -> str:
    with urllib.request.urlopen(f"http://127.0.0.1:{settings.metrics_port}/{path}", timeout=LIMIT_SECONDS) as response:
        return str(response.read().decode())


def test_a_store_that_is_away_delays_events_but_loses_none(
    streaming_settings: StreamingSettings, sender: "Sender", run_id: str, tmp_path: Path
) -> None:
    server = redis_server(tmp_path)
    changes = {"redis_url": server.address, "metrics_port": free_ports(1)[0]}
    settings = streaming_settings.model_validate(streaming_settings.model_dump() | changes)
    events = _events(run_id, 50)
    sender.events(events)
    with running(run_consumer, settings):
        wait_until("metrics", lambda: _answers(settings.metrics_port))
        wait_until("a pause", lambda: "nextclick_paused 1.0" in _http(settings, "metrics"))
        wait_until("tries", lambda: _number(settings, "nextclick_store_retries_total") >= 4)
        assert "nextclick_paused 1.0" in _http(settings, "metrics")
        assert _offsets(settings) == (0, 50)
        with server:
            _wait_for_store(settings, events)
            wait_until("offsets to be committed", lambda: _offsets(settings) == (50, 50))
            wait_until("the end of the pause", lambda: "nextclick_paused 0.0" in _http(settings, "metrics"))


def _answers(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def test_no_broker_is_one_clear_line() -> None:
    environment = {**os.environ, "KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:1"}
    result = subprocess.run(
        [sys.executable, "-m", "streaming", "consumer"],
        env=environment,
        capture_output=True,
        text=True,
        timeout=LIMIT_SECONDS,
    )
    assert result.returncode == 1
    assert result.stderr.splitlines()[-1].startswith("error: Kafka does not answer at 127.0.0.1:1")
    assert "Traceback" not in result.stderr
