"""Kafka that goes away, be it while a topic is read to its end, is one clear error from whatever asks it."""

from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import pytest
from kafka import KafkaProducer

from feature_repo.schema import Item
from nextclick.demo.groups import ConsumerGroups
from streaming.catalogue.topic import newest_places, read_catalogue, send_items
from streaming.dead_letters.reader import read_letter, read_letters, read_replayed
from streaming.erasures import Erasures, send_erasures
from streaming.errors import KafkaUnavailableError
from streaming.jobs import backfill
from streaming.jobs.erase import find_remains
from streaming.jobs.replay import ReplayOptions, replay
from streaming.kafka import admin, failures, producer, whole_topic
from streaming.kafka.admin import open_admin
from streaming.kafka.consumer import PatientConsumer
from streaming.kafka.producer import open_producer
from streaming.kafka.topics import ensure_items_topic, ensure_topics
from streaming.kafka.whole_topic import open_whole_topic
from streaming.settings import StreamingSettings
from tests.support.own_names import own_names
from tests.support.own_servers import Server
from tests.support.waiting import LIMIT_SECONDS

MESSAGES = 40


@pytest.fixture
def settings(broker: Server, tmp_path: Path) -> StreamingSettings:
    names = own_names(uuid4().hex[:8])
    return StreamingSettings(
        nextclick_home=tmp_path, kafka_bootstrap_servers=broker.address, topic_partitions=1, **names
    )


@contextmanager
def away(broker: Server) -> Iterator[None]:
    """Kafka is away during the block, and whatever waits half a minute for it in earnest waits seconds."""
    broker.kill()
    try:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(whole_topic, "STALLED_SECONDS", 3.0)
            patch.setattr(failures, "_OPEN_MS", 2000)
            patch.setattr(admin, "LIMIT_SECONDS", 3.0)
            patch.setattr(producer, "_SEND_SECONDS", 3.0)
            yield
    finally:
        broker.start()


def test_what_is_read_when_kafka_goes_is_read_on_when_it_is_back(settings: StreamingSettings, broker: Server) -> None:
    ensure_topics(settings)
    with closing(KafkaProducer(bootstrap_servers=broker.address, linger_ms=0)) as sender:
        for number in range(MESSAGES):
            sender.send(settings.events_topic, b"%d" % number + b" " * 1000).get(LIMIT_SECONDS)
    found: list[int] = []

    def read() -> None:
        found.extend(int(record.value) for record in unread)

    with closing(open_whole_topic(settings, settings.events_topic, max_partition_fetch_bytes=1000)) as topic:
        unread = topic.unread()
        found.append(int(next(unread).value))  # so it has asked where the topic ends
        with away(broker):
            with pytest.raises(KafkaUnavailableError, match="is Kafka away"):
                read()
            unread = topic.unread()
            with pytest.raises(KafkaUnavailableError, match="is Kafka away"):
                read()
        assert len(found) < MESSAGES
        unread = topic.unread()
        read()
        assert found == list(range(MESSAGES))
        assert list(topic.unread()) == []


@dataclass
class Opened:
    """What was open when Kafka went."""

    erasures: Erasures
    groups: ConsumerGroups


ASKED: dict[str, Callable[[StreamingSettings, Opened], object]] = {
    "topics": lambda settings, _: ensure_topics(settings),
    "items topic": lambda settings, _: ensure_items_topic(settings),
    "items load": lambda settings, _: send_items(settings, [("a", Item("a"))], 1),
    "items": lambda settings, _: read_catalogue(settings),
    "newest items": lambda settings, _: newest_places(settings),
    "dlq list": lambda settings, _: list(read_letters(settings)),
    "dlq show": lambda settings, _: read_letter(settings, 0, 0),
    "dlq replayed": lambda settings, _: read_replayed(settings),
    "dlq replay": lambda settings, _: replay(settings, ReplayOptions()),
    "erasures": lambda settings, _: Erasures(settings),
    "erase": lambda settings, _: send_erasures(settings, "a", []),
    "erase, what remains": lambda settings, _: find_remains(settings, "a"),
    "backfill of some days": lambda settings, _: backfill._yet_to_come(settings),
    "a member": lambda settings, _: PatientConsumer(settings, settings.consumer_group, [settings.events_topic]),
    "a producer": lambda settings, _: open_producer(settings),
    "erasures, again": lambda _, opened: opened.erasures.refresh(),
    "the demo's groups": lambda _, opened: opened.groups.begin_at_end(),
}
"""Everything that verbs and stages ask Kafka."""


@pytest.fixture
def opened(settings: StreamingSettings) -> Iterator[Opened]:
    ensure_topics(settings)
    with open_admin(settings) as client, closing(Erasures(settings)) as erasures:
        yield Opened(erasures, ConsumerGroups(client, settings.events_topic, [settings.consumer_group]))


def test_kafka_away_is_one_line_from_whatever_asks_it(
    settings: StreamingSettings, broker: Server, opened: Opened
) -> None:
    with away(broker):
        errors = {name: failure(ask, settings, opened) for name, ask in ASKED.items()}
    assert {name: repr(error) for name, error in errors.items() if not is_clear(error)} == {}


def failure(ask: Callable[..., object], *arguments: object) -> BaseException | None:
    try:
        ask(*arguments)
    except BaseException as error:
        return error
    return None


def is_clear(error: BaseException | None) -> bool:
    words = str(error)
    told = "Kafka does not answer at" in words or "is Kafka away?" in words
    return isinstance(error, KafkaUnavailableError) and told and "\n" not in words
