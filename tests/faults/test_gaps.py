"""What Kafka deletes before a stage has read it is named, counted, and told from what is left out rightly."""

import re
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from urllib.request import urlopen
from uuid import uuid4

import pytest
from kafka import KafkaAdminClient, KafkaProducer, TopicPartition
from kafka.admin import OffsetSpec
from kafka.structs import OffsetAndMetadata
from prometheus_client.parser import text_string_to_metric_families

from feature_repo.schema import Item
from streaming.catalogue.parser import item_to_json
from streaming.kafka.admin import open_admin
from streaming.kafka.consumer import PatientConsumer
from streaming.kafka.gaps import Gap
from streaming.kafka.member import position
from streaming.kafka.topics import ensure_compacted_topic, ensure_topics
from streaming.kafka.whole_topic import open_whole_topic
from streaming.settings import StreamingSettings
from tests.faults.feeding import Feeder
from tests.faults.stages import Progress, stage, stage_settings
from tests.support.own_servers import Server, redis_server
from tests.support.planted_stream import Message, planted_stream
from tests.support.ports import free_ports
from tests.support.programs import Process
from tests.support.waiting import LIMIT_SECONDS, wait_until

NAMED = re.compile(r"@\d+: Kafka deleted the messages at offsets (\d+) to (\d+), (\d+) of them, before (\S+) had read")


@pytest.fixture(scope="module")
def store(_environment: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with redis_server(tmp_path_factory.mktemp("store")) as server:
        yield server


@pytest.fixture
def settings(broker: Server, store: Server, definitions: Path, tmp_path: Path) -> StreamingSettings:
    """Of stages that read one partition, and serve their metrics."""
    name = uuid4().hex[:8]
    given = stage_settings(broker, store, definitions, name)
    return StreamingSettings(
        **{each: getattr(given, each) for each in given.model_fields_set}
        | {
            "events_topic": f"events-{name}",
            "items_topic": f"items-{name}",
            "catalogue_group": f"{name}-catalogue",
            "archive_path": tmp_path / "archive",
            "archive_flush_seconds": 0.2,
            "topic_partitions": 1,
            "metrics_port": free_ports(1)[0],
        }
    )


def delete_before(settings: StreamingSettings, topic: str, offset: int) -> None:
    """As retention does."""
    with closing(KafkaAdminClient(bootstrap_servers=settings.kafka_bootstrap_servers)) as admin:
        admin.delete_records({TopicPartition(topic, 0): offset})


def stream_of_one_partition(count: int) -> list[Message]:
    return [message for message in planted_stream(6, 4 * count + 200, 0) if message.partition == 0][:count]


def gaps(process: Process) -> list[tuple[int, int, int]]:
    """First and last offset, and how many, of each gap that its log names."""
    return [(int(first), int(last), int(count)) for first, last, count, _ in NAMED.findall(process.log_text())]


def metric(settings: StreamingSettings, name: str) -> float:
    """The sum over all labels."""
    with urlopen(f"http://127.0.0.1:{settings.metrics_port}/metrics") as answer:
        families = text_string_to_metric_families(answer.read().decode())
        return sum(sample.value for family in families for sample in family.samples if sample.name == name)


@pytest.mark.parametrize("part", ["consumer", "archive"])
def test_what_was_deleted_while_a_stage_stood_still_is_named_and_counted(
    settings: StreamingSettings, tmp_path: Path, part: str
) -> None:
    messages = stream_of_one_partition(30)
    topic_id = ensure_topics(settings)[settings.events_topic]
    group = settings.consumer_group if part == "consumer" else settings.archive_group
    with closing(Feeder(settings, messages)) as feeder, closing(Progress(settings, topic_id)) as progress:
        process = stage(part, settings, tmp_path / f"{part}.log")
        feeder.feed_all(10)
        with process:
            wait_until("the first ten", lambda: progress.committed(group) == [10], [process])
            assert gaps(process) == []
            assert metric(settings, "nextclick_kafka_gap_messages_total") == 0
            assert process.stop() == 0
        feeder.feed_all(19)
        delete_before(settings, settings.events_topic, 19)
        feeder.feed_all(25)
        with process:
            wait_until("the rest", lambda: progress.committed(group) == [25], [process])
            assert gaps(process) == [(10, 18, 9)]
            assert f"before {group} had read them" in process.log_text()
            assert metric(settings, "nextclick_kafka_gap_messages_total") == 9
            assert metric(settings, "nextclick_kafka_gap_timestamp_seconds") > 0
            assert process.stop() == 0
        feeder.feed_all(30)
        with process:
            wait_until("the last", lambda: progress.committed(group) == [30], [process])
            assert gaps(process) == []
            assert process.stop() == 0


@pytest.mark.parametrize("part", ["consumer", "archive"])
def test_a_partition_that_was_emptied_is_named_before_anything_comes(
    settings: StreamingSettings, tmp_path: Path, part: str
) -> None:
    messages = stream_of_one_partition(20)
    topic_id = ensure_topics(settings)[settings.events_topic]
    group = settings.consumer_group if part == "consumer" else settings.archive_group
    process = stage(part, settings, tmp_path / f"{part}.log")
    with closing(Feeder(settings, messages)) as feeder, closing(Progress(settings, topic_id)) as progress:
        feeder.feed_all(10)
        with process:
            wait_until("the first ten", lambda: progress.committed(group) == [10], [process])
            process.kill()
        feeder.feed_all(15)
        delete_before(settings, settings.events_topic, 15)
        with process:
            wait_until("the gap to be named", lambda: gaps(process) == [(10, 14, 5)], [process])
            feeder.feed_all(20)
            wait_until("the rest", lambda: progress.committed(group) == [20], [process])
            assert gaps(process) == [(10, 14, 5)]


@pytest.mark.parametrize("part", ["consumer", "archive"])
def test_what_was_deleted_before_a_partition_had_its_first_message_read_is_named(
    settings: StreamingSettings, tmp_path: Path, part: str
) -> None:
    """The group was there before the messages, so they were its to read."""
    messages = stream_of_one_partition(20)
    topic_id = ensure_topics(settings)[settings.events_topic]
    group = settings.consumer_group if part == "consumer" else settings.archive_group
    process = stage(part, settings, tmp_path / f"{part}.log")
    with closing(Feeder(settings, messages)) as feeder, closing(Progress(settings, topic_id)) as progress:
        with process:
            wait_until("a place in the empty partition", lambda: progress.has_place(group), [process])
            process.kill()
        feeder.feed_all(15)
        delete_before(settings, settings.events_topic, 15)
        feeder.feed_all(20)
        with process:
            wait_until("the rest", lambda: progress.committed(group) == [20], [process])
            assert gaps(process) == [(0, 14, 15)]


def test_a_catalogue_that_was_deleted_in_part_is_named(settings: StreamingSettings, tmp_path: Path) -> None:
    """Where the topic of items is not only compacted, as whoever made it by hand may have set it."""
    settings = settings.model_copy(update={"items_topic": f"{settings.items_topic}-deletes"})
    with closing(KafkaAdminClient(bootstrap_servers=settings.kafka_bootstrap_servers)) as admin:
        options = {"num_partitions": 1, "replication_factor": 1, "configs": {"cleanup.policy": "compact,delete"}}
        admin.create_topics({settings.items_topic: options}, wait_for_metadata=True)
    process = stage("catalogue", settings, tmp_path / "catalogue.log")
    send_items(settings, 10)
    with process:
        wait_until("ten items", lambda: metric_or_none(settings, "nextclick_batch_rows_sum") == 10, [process])
        assert process.stop() == 0
    send_items(settings, 9)
    delete_before(settings, settings.items_topic, 19)
    send_items(settings, 6)
    with process:
        wait_until("the gap to be named", lambda: gaps(process) == [(10, 18, 9)], [process])
        wait_until("the rest", lambda: metric_or_none(settings, "nextclick_batch_rows_sum") == 6, [process])
        assert process.stop() == 0


def metric_or_none(settings: StreamingSettings, name: str) -> float | None:
    """None while nothing is served yet."""
    try:
        return metric(settings, name)
    except OSError:
        return None


def send_items(settings: StreamingSettings, count: int) -> None:
    with closing(KafkaProducer(bootstrap_servers=settings.kafka_bootstrap_servers)) as producer:
        for number in range(count):
            item = Item(f"item-{number}", title=f"Item {number}")
            producer.send(settings.items_topic, key=item.item_id.encode(), value=item_to_json(item))


def test_retention_that_overtakes_a_running_reader_is_named(settings: StreamingSettings) -> None:
    settings = settings.model_copy(update={"consumer_batch_size": 5})
    found: list[Gap] = []
    ensure_topics(settings)
    partition = TopicPartition(settings.events_topic, 0)
    with (
        closing(Feeder(settings, stream_of_one_partition(40))) as feeder,
        closing(PatientConsumer(settings, settings.consumer_group, [settings.events_topic])) as member,
    ):
        member.tell_gaps_to(found.append)
        seen: list[int] = []

        def reads_up_to(offset: int) -> Callable[[], bool]:
            def look() -> bool:
                seen.extend(record.offset for records in member.poll().records.values() for record in records)
                return bool(seen) and seen[-1] >= offset - 1

            return look

        feeder.feed_all(10)
        wait_until("ten", reads_up_to(10))
        member.kafka.pause(partition)  # as while a store is away
        fetcher = member.kafka._fetcher
        wait_until("no fetch under way", lambda: not member.poll() and not fetcher.in_flight_fetches())
        feeder.feed_all(30)
        delete_before(settings, settings.events_topic, 25)
        member.kafka.resume(partition)
        wait_until("the rest", reads_up_to(30))
    assert found == [Gap(partition, 10, 25)]
    assert sorted(set(seen)) == [*range(10), *range(25, 30)]  # what is not committed may come twice


def test_what_compaction_has_removed_is_no_gap(settings: StreamingSettings, caplog: pytest.LogCaptureFixture) -> None:
    soon = {"segment.ms": "50", "min.cleanable.dirty.ratio": "0.001", "max.compaction.lag.ms": "50"}
    ensure_compacted_topic(settings, settings.items_topic, soon)
    with closing(KafkaProducer(bootstrap_servers=settings.kafka_bootstrap_servers)) as producer:

        def is_compacted() -> bool:
            producer.send(settings.items_topic, key=b"the same", value=b"{}").get(LIMIT_SECONDS)
            with closing(open_whole_topic(settings, settings.items_topic)) as topic:
                return next(topic.unread()).offset > 1

        wait_until("compaction", is_compacted)
    found, offsets = _read_all(settings, settings.items_topic)
    assert offsets[0] > 1
    assert found == []
    assert "Kafka deleted" not in caplog.text


def test_what_transactions_take_is_no_gap(settings: StreamingSettings, caplog: pytest.LogCaptureFixture) -> None:
    """Their markers take offsets, and so does what was taken back."""
    ensure_topics(settings)
    topic = settings.events_topic
    with closing(
        KafkaProducer(
            bootstrap_servers=settings.kafka_bootstrap_servers,
            transactional_id=f"{settings.consumer_group}-tx",
        )
    ) as producer:
        producer.init_transactions()
        for number in range(6):
            producer.begin_transaction()
            producer.send(topic, b"kept" if number % 2 else b"taken back").get(LIMIT_SECONDS)
            producer.commit_transaction() if number % 2 else producer.abort_transaction()
    found, offsets = _read_all(settings, topic)
    assert offsets == [2, 6, 10]  # each transaction is a message and its marker
    assert found == []
    assert "Kafka deleted" not in caplog.text


def _read_all(settings: StreamingSettings, topic: str) -> tuple[list[Gap], list[int]]:
    """Gaps, and offsets of messages, that a group meets which goes on after the first message."""
    partition = TopicPartition(topic, 0)
    with open_admin(settings) as admin:
        begin = {partition: OffsetAndMetadata(1, "", -1)}
        admin.ask(lambda client: client.alter_group_offsets(settings.consumer_group, begin))
        end = admin.ask(lambda client: client.list_partition_offsets({partition: OffsetSpec.LATEST}))[partition].offset
    found: list[Gap] = []
    offsets: list[int] = []
    with closing(PatientConsumer(settings, settings.consumer_group, [topic])) as member:
        member.tell_gaps_to(found.append)

        def is_at_end() -> bool:
            offsets.extend(record.offset for records in member.poll().records.values() for record in records)
            return position(member.kafka, partition) == end

        wait_until(f"the end at {end}", is_at_end)
    return found, offsets
