"""Partitions that are added to a topic are found by who reads it, and said."""

from contextlib import ExitStack, closing
from pathlib import Path
from uuid import uuid4

from kafka import KafkaAdminClient, KafkaProducer

from feature_repo.schema import Item
from streaming.catalogue.parser import item_to_json
from streaming.kafka import connection
from streaming.kafka.topics import ensure_items_topic, ensure_topics
from tests.faults.feeding import Feeder
from tests.faults.stages import Progress, stage, stage_settings
from tests.support.own_servers import Server, redis_server
from tests.support.planted_stream import PARTITIONS, planted_stream
from tests.support.waiting import LIMIT_SECONDS, wait_until


def test_every_stage_reads_partitions_that_are_added_under_it(
    broker: Server, definitions: Path, tmp_path: Path
) -> None:
    assert connection._METADATA_MS <= 30_000  # until then it cannot know of them
    name = uuid4().hex[:8]
    with ExitStack() as stack:
        store = stack.enter_context(redis_server(tmp_path))
        settings = stage_settings(
            broker, store, definitions, name, events_topic=f"events-{name}", items_topic=f"items-{name}"
        ).model_copy(
            update={
                "topic_partitions": PARTITIONS - 1,
                "catalogue_group": f"{name}-catalogue",
                "archive_path": tmp_path / "archive",
                "archive_flush_seconds": 0.2,
            }
        )
        topic_id = ensure_topics(settings)[settings.events_topic]
        ensure_items_topic(settings)
        parts = {"consumer": settings.events_topic, "archive": settings.events_topic, "catalogue": settings.items_topic}
        stages = {
            part: stack.enter_context(stage(part, settings, tmp_path / f"{part}.log", options=())) for part in parts
        }

        def have_said(line: str) -> bool:
            return all(line.format(parts[part]) in process.log_text() for part, process in stages.items())

        wait_until("partitions", lambda: have_said("partitions assigned: {}[0]"), stages.values())
        with closing(KafkaAdminClient(bootstrap_servers=broker.address)) as admin:
            admin.create_partitions(dict.fromkeys(set(parts.values()), PARTITIONS))
        more = f"topic {{}} has {PARTITIONS} partitions now, it had {PARTITIONS - 1}"
        wait_until("it to be said", lambda: have_said(more), stages.values())
        settings = settings.model_copy(update={"topic_partitions": PARTITIONS})
        messages = planted_stream(8, 200, 0)
        assert any(message.partition == PARTITIONS - 1 for message in messages)
        with (
            closing(Feeder(settings, messages)) as feeder,
            closing(KafkaProducer(bootstrap_servers=broker.address)) as producer,
            closing(Progress(settings, topic_id)) as progress,
        ):
            feeder.feed_all(200)
            item = Item("new", title="In a new partition")
            key, value = item.item_id.encode(), item_to_json(item)
            producer.send(settings.items_topic, key=key, value=value, partition=PARTITIONS - 1).get(LIMIT_SECONDS)
            for group in (settings.consumer_group, settings.archive_group):
                what = f"{group} to read them all"
                wait_until(what, lambda of=group: progress.committed(of) == progress.ends(), stages.values())
            added = Progress(settings.model_copy(update={"events_topic": settings.items_topic}), topic_id)
            with closing(added):
                wait_until("the item", lambda: added.committed(settings.catalogue_group)[-1] == 1, stages.values())
