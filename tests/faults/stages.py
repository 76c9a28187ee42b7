"""The consumer and the archive writer as processes, and what can be seen of them from outside."""

import os
import sys
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import redis
from kafka import KafkaConsumer, TopicPartition

from feature_repo.online.redis_layout import ViewLayout
from feature_repo.online.redis_rows import RedisRows
from feature_repo.online.rows import EncodedRow
from feature_repo.schema import PROJECT
from feature_repo.views import ITEM_PROFILE, item_to_row
from streaming.dead_letters.letters import Letter
from streaming.dead_letters.reader import read_letters
from streaming.kafka.admin import open_admin
from streaming.settings import StreamingSettings
from tests.support.own_servers import Server
from tests.support.plain_fold import Store
from tests.support.planted_stream import ITEMS, PARTITIONS, START_MS
from tests.support.programs import Process


def stage_settings(broker: Server, store: Server, home: Path, name: str, **others: Any) -> StreamingSettings:
    """Groups and dead letters called after `name`, and little memory, so that rows are read back often."""
    return StreamingSettings(
        nextclick_home=home,
        kafka_bootstrap_servers=broker.address,
        redis_url=store.address,
        dead_letter_topic=f"{name}.dlq",
        topic_partitions=PARTITIONS,
        consumer_group=f"{name}-streaming",
        archive_group=f"{name}-archive",
        archive_flush_rows=4000,
        hot_events=2000,
        **others,
    )


def write_catalogue(settings: StreamingSettings) -> None:
    """ITEMS, as of the start of the planted stream."""
    layout = ViewLayout(ITEM_PROFILE)
    with closing(RedisRows(settings)) as rows:
        encoded = [(item.item_id, layout.encode(item_to_row(item, START_MS))) for item in ITEMS]
        rows.write([EncodedRow(ITEM_PROFILE, item_id, values) for item_id, values in encoded])


def stage(part: str, settings: StreamingSettings, log: Path, options: Sequence[str] = ("--verbose",)) -> Process:
    """`python -m streaming consumer`, `… archive` or `… catalogue` with these settings, to be entered."""
    env = {name: value for name, value in os.environ.items() if name.lower() not in StreamingSettings.model_fields}
    return Process([sys.executable, "-m", "streaming", part, *options], log, env | _variables(settings))


def _variables(settings: StreamingSettings) -> dict[str, str]:
    given = {name: getattr(settings, name) for name in settings.model_fields_set}
    texts = {
        name.upper(): getattr(value, "get_secret_value", lambda value=value: value)() for name, value in given.items()
    }
    return {name: str(value) for name, value in texts.items()}


class Progress:
    """How far the stages have come in the events topic. Sums and lists are over its partitions, in their order."""

    def __init__(self, settings: StreamingSettings, topic_id: str) -> None:
        self._settings = settings
        self._topic_id = topic_id
        self._partitions = [TopicPartition(settings.events_topic, n) for n in range(settings.topic_partitions)]
        self._redis = redis.Redis.from_url(settings.redis_url.get_secret_value(), socket_timeout=5)

    def stored(self) -> list[int]:
        """Offsets that the online store has the events before."""
        names = [f"{PROJECT}:position:{self._topic_id}/{each.partition}" for each in self._partitions]
        return [int(value or 0) for value in self._redis.mget(names)]

    def archived(self) -> list[int]:
        """Offsets that the archive's files go up to."""
        ends = [0] * len(self._partitions)
        for path in Path(self._settings.archive_path).glob(f"event_date=*/{self._topic_id}-*.parquet"):
            _, partition, _, end = path.stem.rsplit("-", 3)
            ends[int(partition)] = max(ends[int(partition)], int(end))
        return ends

    def committed(self, group: str) -> list[int]:
        """Offsets that a group would go on from."""
        with open_admin(self._settings) as admin:
            found = admin.committed(group, self._partitions)
        return [found.get(each, 0) for each in self._partitions]

    def has_place(self, group: str) -> bool:
        """Whether a group has committed an offset of each partition, be it the first."""
        with open_admin(self._settings) as admin:
            return len(admin.committed(group, self._partitions)) == len(self._partitions)

    def ends(self) -> list[int]:
        """Offsets after the last message."""
        with closing(KafkaConsumer(bootstrap_servers=self._settings.kafka_bootstrap_servers)) as kafka:
            found = kafka.end_offsets(self._partitions)
        return [found[each] for each in self._partitions]

    def close(self) -> None:
        """Give connections back."""
        self._redis.close()


def members(settings: StreamingSettings, group: str) -> list[str]:
    """Ids of a group's members."""
    with open_admin(settings) as admin:
        found = admin.ask(lambda client: client.describe_groups([group]))[group]["members"]
    return sorted(member["member_id"] for member in found)


def dump(settings: StreamingSettings) -> Store:
    """Everything in a Redis but expiries, which tell when a row was written, and the histories' `_revision`, which
    tells how often."""
    found: Store = {}
    with redis.Redis.from_url(settings.redis_url.get_secret_value()) as client:
        keys = list(client.scan_iter(count=5000))
        for start in range(0, len(keys), 5000):
            found |= _values(client, keys[start : start + 5000])
    return found


def _values(client: redis.Redis, keys: Sequence[bytes]) -> Store:
    pipeline = client.pipeline(transaction=False)
    for key in keys:
        pipeline.get(key) if key.startswith(f"{PROJECT}:".encode()) else pipeline.hgetall(key)
    found = dict(zip(keys, pipeline.execute(), strict=True))
    for value in found.values():
        if isinstance(value, dict):
            value.pop(b"_revision", None)
    return found


def letters(settings: StreamingSettings) -> list[Letter]:
    """The dead letter topic, from its beginning to its present end."""
    return list(read_letters(settings))
