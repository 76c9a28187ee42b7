"""A consumer whose store or dead letters are away, or that was taken for dead, waits or steps back; then it goes on."""

import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from signal import SIGCONT, SIGSTOP

from kafka import KafkaAdminClient
from kafka.admin import ConfigResource, ConfigResourceType

from streaming.settings import StreamingSettings
from tests.faults.feeding import with_offsets
from tests.faults.scene import MAX_POLL_MS, SceneMaker
from tests.faults.stages import dump, letters, members
from tests.support.gate import Gate
from tests.support.plain_fold import assert_same, session_rows
from tests.support.planted_stream import PARTITIONS, planted_stream
from tests.support.programs import Process
from tests.support.waiting import wait_until

DEALT = "partitions assigned: "
NOT_WRITTEN = "is not written, next try"


def test_a_long_absence_of_the_store_costs_no_membership(scene_of: SceneMaker) -> None:
    scene = scene_of(planted_stream(1, 4000, 5))
    with scene.consumer() as consumer:
        scene.feeder.feed_all(2000)
        scene.await_committed(consumer)
        committed, ids = scene.committed(), members(scene.settings, scene.settings.consumer_group)
        dealt = consumer.log_text().count(DEALT)
        scene.store.stop()
        scene.feeder.feed_all(3000)
        _stays(lambda: scene.committed() == committed, 2.7 * MAX_POLL_MS / 1000, consumer)
        assert members(scene.settings, scene.settings.consumer_group) == ids
        scene.store.start()
        scene.feeder.feed_all(len(scene.messages))
        scene.await_committed(consumer)
        assert members(scene.settings, scene.settings.consumer_group) == ids
        assert NOT_WRITTEN in consumer.log_text()
        assert consumer.log_text().count(DEALT) == dealt
        scene.check_store()


def test_without_dead_letters_nothing_is_consumed_past_a_bad_message(scene_of: SceneMaker) -> None:
    good = planted_stream(2, 2000, 0)
    bad = replace(good[500], value=b"no event", headers=(), event=None)
    scene = scene_of([*good[:500], bad, *good[500:]])
    _limit_message_bytes(scene.settings, 1)
    offset = with_offsets(scene.messages)[500][1]
    with scene.consumer() as consumer:
        scene.feeder.feed_all(501)
        wait_until("a second try", lambda: consumer.log_text().count(NOT_WRITTEN) > 1, [consumer])
        before = session_rows(message for message in good[:500] if message.partition == bad.partition)
        assert len(before) > 10
        found = dump(scene.settings)
        assert_same({key: found.get(key, b"") for key in before}, before)
        scene.feeder.feed_all(1500)
        _stays(lambda: scene.committed()[bad.partition] <= offset, 3, consumer)
        assert letters(scene.settings) == []
        _limit_message_bytes(scene.settings, 1_000_000)
        scene.feeder.feed_all(len(scene.messages))
        scene.await_committed(consumer)
        scene.check_store()
        assert [(each.source_partition, each.source_offset, each.value) for each in letters(scene.settings)] == [
            (bad.partition, offset, bad.value)
        ]


def test_a_frozen_consumer_does_not_overwrite_its_successor(scene_of: SceneMaker) -> None:
    """It is frozen once it has read what it folds on, so that it would write something outdated later on."""
    scene = scene_of(planted_stream(3, 24_000, 5))
    with (
        Gate(scene.store.address) as gate,
        scene.consumer("frozen", gate.url) as frozen,
        scene.consumer("successor") as successor,
    ):
        both = [frozen, successor]
        wait_until("two partitions each", lambda: [_dealt(each) for each in both] == [2, 2], both)
        scene.feeder.feed_all(4000)
        scene.await_committed(*both)
        gate.shut()
        scene.feeder.feed_all(8000)
        wait_until("a transaction of the one to be frozen", lambda: gate.holds, both)
        frozen.signal(SIGSTOP)
        scene.feeder.feed_all(16_000)
        scene.await_committed(successor)
        assert _dealt(successor) == PARTITIONS
        gate.open()
        wait_until("Redis to refuse what was read before", lambda: gate.refused, both)
        scene.check_store()
        frozen.signal(SIGCONT)
        wait_until("two partitions each", lambda: [_dealt(each) for each in both] == [2, 2], both)
        scene.check_store()
        scene.feeder.feed_all(len(scene.messages))
        scene.await_committed(*both)
        scene.check_store()
        assert [frozen.stop(), successor.stop()] == [0, 0]


def _dealt(consumer: Process) -> int:
    """How many partitions the consumer was assigned last."""
    return _last_deal(consumer).count("[")


def _last_deal(consumer: Process) -> str:
    return consumer.log_text().rpartition(DEALT)[2].partition("\n")[0]


def _stays(is_true: Callable[[], bool], seconds: float, consumer: Process) -> None:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        assert is_true()
        consumer.check()
        time.sleep(0.3)


def _limit_message_bytes(settings: StreamingSettings, limit: int) -> None:
    resource = ConfigResource(ConfigResourceType.TOPIC, settings.dead_letter_topic, {"max.message.bytes": str(limit)})
    with closing(KafkaAdminClient(bootstrap_servers=settings.kafka_bootstrap_servers)) as admin:
        admin.alter_configs([resource])
