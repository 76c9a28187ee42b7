"""An online store that has lost what it had gets it again: after a failover, from an older copy, or emptied."""

from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path

import pytest
import redis
from kafka import KafkaAdminClient, TopicPartition

from feature_repo.online.redis_rows import REWRITES_KEY
from feature_repo.schema import Item
from streaming.catalogue.consumer import run_catalogue
from streaming.catalogue.topic import send_items
from streaming.jobs.backfill import Times, backfill
from streaming.kafka.topics import ensure_items_topic, ensure_topics
from tests.faults.feeding import Feeder, ends_of, with_offsets
from tests.faults.stages import Progress, dump, stage, stage_settings, write_catalogue
from tests.support.own_servers import Server, redis_server
from tests.support.plain_fold import Store, assert_same, expected_store, plain_rows
from tests.support.planted_stream import ITEMS, planted_stream
from tests.support.stage_thread import running
from tests.support.stored_rows import StoredRows
from tests.support.waiting import wait_until

Copy = Mapping[bytes, bytes]
"""Everything in a Redis, as it writes rows itself."""


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Server]:
    with redis_server(tmp_path / "store") as server:
        yield server


@pytest.fixture
def client(store: Server) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(store.address) as client:
        yield client


@pytest.mark.parametrize("copied_at", [0, 1500])
@pytest.mark.parametrize("runs", [True, False], ids=["running", "stopped"])
def test_the_consumer_folds_what_the_store_has_lost(
    broker: Server,
    store: Server,
    client: redis.Redis,
    definitions: Path,
    tmp_path: Path,
    copied_at: int,
    runs: bool,
) -> None:
    messages = planted_stream(9, 6000, 0)
    name = f"behind-{copied_at}-{runs}"
    settings = stage_settings(broker, store, definitions, name, events_topic=name)
    topic_id = ensure_topics(settings)[name]
    write_catalogue(settings)
    with (
        closing(Progress(settings, topic_id)) as progress,
        closing(Feeder(settings, messages)) as feeder,
        stage("consumer", settings, tmp_path / "consumer.log") as consumer,
    ):

        def feed(until: int) -> None:
            feeder.feed_all(until)
            done = ends_of(messages[:until])
            wait_until("all to be stored", lambda: progress.stored() == done, [consumer])
            wait_until("all to be committed", lambda: progress.committed(settings.consumer_group) == done, [consumer])

        def lose() -> None:
            if runs:
                return _put_back(client, copy)
            assert consumer.stop() == 0
            _put_back(client, copy)
            return consumer.start()

        feed(copied_at)
        copy = _copy(client)
        feed(3000)
        lose()
        feed(3000)  # nothing more: the store is looked at in any case
        feed(4000)
        lose()
        feed(6000)
        assert consumer.log_text().count("the online store has lost what follows") >= 1
        assert consumer.stop() == 0
    assert_same(dump(settings), expected_store(messages, topic_id))


def test_what_the_archive_has_need_not_come_from_kafka(
    broker: Server, store: Server, client: redis.Redis, definitions: Path, tmp_path: Path
) -> None:
    messages = planted_stream(10, 4000, 0)
    settings = stage_settings(
        broker,
        store,
        definitions,
        "refilled",
        events_topic="refilled",
        archive_path=tmp_path / "archive",
        archive_flush_seconds=0.5,
    )
    topic_id = ensure_topics(settings)["refilled"]
    write_catalogue(settings)
    consumer = stage("consumer", settings, tmp_path / "consumer.log")
    with closing(Progress(settings, topic_id)) as progress, closing(Feeder(settings, messages)) as feeder:

        def consume(until: int) -> None:
            feeder.feed_all(until)
            with consumer:
                wait_until("all to be stored", lambda: progress.stored() == ends_of(messages[:until]), [consumer])
                assert consumer.stop() == 0

        consume(3000)
        with stage("archive", settings, tmp_path / "archive.log") as archive:
            wait_until("the archive", lambda: progress.archived() == ends_of(messages[:3000]), [archive])
            assert archive.stop() == 0
        consume(4000)
        client.flushall()
        write_catalogue(settings)
        with closing(KafkaAdminClient(bootstrap_servers=broker.address)) as admin:
            admin.delete_records(
                {TopicPartition("refilled", n): offset for n, offset in enumerate(ends_of(messages[:2500]))}
            )
        backfill(settings, Times())
        assert progress.stored() == ends_of(messages[:3000])
        consume(4000)
    assert "the online store has lost what follows" in consumer.log_text()
    assert "Kafka has no longer" not in consumer.log_text()
    assert_same(_without_rewrites(dump(settings)), expected_store(messages, topic_id))


def test_what_kafka_has_no_longer_is_told(
    broker: Server, store: Server, client: redis.Redis, definitions: Path, tmp_path: Path
) -> None:
    messages = planted_stream(11, 2000, 0)
    settings = stage_settings(broker, store, definitions, "gone", events_topic="gone")
    topic_id = ensure_topics(settings)["gone"]
    write_catalogue(settings)
    begins = ends_of(messages[:1000])
    with (
        closing(Progress(settings, topic_id)) as progress,
        closing(Feeder(settings, messages)) as feeder,
        stage("consumer", settings, tmp_path / "consumer.log") as consumer,
    ):
        feeder.feed_all(2000)
        wait_until("all to be stored", lambda: progress.stored() == ends_of(messages), [consumer])
        with closing(KafkaAdminClient(bootstrap_servers=broker.address)) as admin:
            admin.delete_records({TopicPartition("gone", n): offset for n, offset in enumerate(begins)})
        _put_back(client, {})
        write_catalogue(settings)
        wait_until("the rest to be stored", lambda: progress.stored() == ends_of(messages), [consumer])
        places = ", ".join(f"gone[{n}]@{offset}" for n, offset in enumerate(begins))
        assert f"Kafka has no longer what was before {places}: run nextclick backfill" in consumer.log_text()
        assert consumer.stop() == 0
    left = [message for partition, offset, message in with_offsets(messages) if offset >= begins[partition]]
    found = dump(settings)
    expected = plain_rows(left, ITEMS)
    assert_same({key: found[key] for key in expected}, expected)


def test_the_catalogue_writes_what_the_store_has_lost(
    broker: Server, store: Server, client: redis.Redis, definitions: Path
) -> None:
    settings = stage_settings(
        broker, store, definitions, "lost", items_topic="lost-items", catalogue_group="lost-catalogue"
    )
    items = [Item(f"item-{n}", title=f"Item {n}", available=n % 3 > 0) for n in range(60)]
    ensure_items_topic(settings)
    send_items(settings, [(item.item_id, item) for item in items], len(items))
    left = {item.item_id: item for item in items if item.item_id != "item-7"}

    def stored() -> dict[str, Item]:
        with closing(StoredRows(settings)) as writer:
            return writer.read_items([item.item_id for item in items])

    with running(run_catalogue, settings):
        wait_until("all items", lambda: len(stored()) == len(items))
        copy = _copy(client)
        send_items(settings, [("item-7", None)], 1)
        wait_until("the deletion", lambda: stored() == left)
        client.flushall()
        wait_until("all items again", lambda: stored() == left)
        _put_back(client, copy)
        wait_until("the deletion again", lambda: stored() == left)
    client.flushall()
    with running(run_catalogue, settings):
        wait_until("all items after a restart", lambda: stored() == left)


def _copy(client: redis.Redis) -> Copy:
    return {key: client.dump(key) for key in client.scan_iter(count=5000)}


def _without_rewrites(found: Store) -> Store:
    """Without the count of a backfill's batches."""
    return {key: value for key, value in found.items() if key != REWRITES_KEY.encode()}


def _put_back(client: redis.Redis, copy: Copy) -> None:
    with client.pipeline(transaction=True) as pipeline:
        pipeline.flushall()
        for key, value in copy.items():
            pipeline.restore(key, 0, value)
        pipeline.execute()
