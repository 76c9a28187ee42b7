"""Sends changes of the catalogue to the topic `items`, and reads back what the topic as a whole says."""

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from itertools import islice

from kafka import TopicPartition
from kafka.consumer.fetcher import ConsumerRecord
from kafka.errors import KafkaError

from feature_repo.schema import Item
from streaming.catalogue.parser import ItemParser, item_to_json
from streaming.errors import CatalogueError, EventError
from streaming.kafka.consumer import open_reader
from streaming.kafka.producer import open_producer, wait_for
from streaming.kafka.topics import ensure_items_topic
from streaming.settings import StreamingSettings

_CHUNK = 1000
_POLL_MS = 500
_STALLED_SECONDS = 30.0

Progress = Callable[[int, int], None]
"""Gets what is done, and how much there is."""


def send_items(
    settings: StreamingSettings, items: Iterable[tuple[str, Item | None]], total: int, progress: Progress | None = None
) -> int:
    """Send `total` items, or deletions (None), by id; returns how many once the brokers have all of them.

    Raises KafkaUnavailableError, or CatalogueError when Kafka stops taking them: sending all again does no harm.
    """
    ensure_items_topic(settings)
    left, sent = iter(items), 0
    try:
        with closing(open_producer(settings)) as producer:
            while chunk := list(islice(left, _CHUNK)):
                values = [(item_id.encode(), item_to_json(item) if item else None) for item_id, item in chunk]
                wait_for([producer.send(settings.items_topic, key=key, value=value) for key, value in values])
                sent += len(chunk)
                if progress:
                    progress(sent, total)
    except KafkaError as error:
        raise CatalogueError(f"Kafka took {sent} of {total} items and no more ({error}): run it again") from error
    return sent


def read_catalogue(settings: StreamingSettings, progress: Progress | None = None) -> tuple[list[Item], int]:
    """Every item that the topic holds now, in order of the ids; and how many messages are no valid items.

    Such a message counts as none, as for the online store. Raises KafkaUnavailableError, or CatalogueError if there is
    no such topic or it cannot be read to its end.
    """
    items: dict[str, Item] = {}
    parser, invalid = ItemParser(), 0
    for record in _read_topic(settings, progress):
        try:
            item_id, item = parser.parse_record(record)
        except EventError:
            invalid += 1
            continue
        items.pop(item_id, None)
        if item:
            items[item_id] = item
    return [items[item_id] for item_id in sorted(items)], invalid


def newest_places(settings: StreamingSettings) -> dict[bytes, tuple[int, int]]:
    """Partition and offset of the newest message of each key, whatever it says. Raises as `read_catalogue`."""
    return {record.key: (record.partition, record.offset) for record in _read_topic(settings, None) if record.key}


def _read_topic(settings: StreamingSettings, progress: Progress | None) -> Iterator[ConsumerRecord]:
    topic = settings.items_topic
    with closing(open_reader(settings, isolation_level="read_committed")) as kafka:
        partitions = [TopicPartition(topic, number) for number in sorted(kafka.partitions_for_topic(topic) or ())]
        if not partitions:
            raise CatalogueError(f"there is no topic {topic}: `nextclick items load` makes it, or set ITEMS_TOPIC")
        kafka.assign(partitions)
        kafka.seek_to_beginning(*partitions)
        first, ends = kafka.beginning_offsets(partitions), kafka.end_offsets(partitions)
        total, moved_at = sum(ends.values()) - sum(first.values()), time.monotonic()
        while any(kafka.position(partition) < ends[partition] for partition in partitions):
            found = kafka.poll(timeout_ms=_POLL_MS)
            if found:
                moved_at = time.monotonic()
            elif time.monotonic() - moved_at > _STALLED_SECONDS:
                raise CatalogueError(f"topic {topic} cannot be read to its end: is Kafka away?")
            for partition, records in found.items():
                yield from (record for record in records if record.offset < ends[partition])
            if progress:
                done = sum(min(kafka.position(each), ends[each]) - first[each] for each in partitions)
                progress(done, total)
