"""Sends changes of the catalogue to the topic `items`, and reads back what the topic as a whole says."""

from collections.abc import Iterable, Iterator
from contextlib import closing
from itertools import islice

from kafka.consumer.fetcher import ConsumerRecord

from feature_repo.schema import Item
from streaming.catalogue.parser import ItemParser, item_to_json
from streaming.errors import CatalogueError, EventError, KafkaFailedError
from streaming.kafka.producer import open_producer
from streaming.kafka.topics import ensure_items_topic
from streaming.kafka.whole_topic import Progress, open_whole_topic
from streaming.settings import StreamingSettings

_CHUNK = 1000


def send_items(
    settings: StreamingSettings, items: Iterable[tuple[str, Item | None]], total: int, progress: Progress | None = None
) -> int:
    """Send `total` items, or deletions (None), by id; returns how many once the brokers have all of them.

    Raises KafkaUnavailableError, or CatalogueError when Kafka stops taking them: sending all again does no harm.
    """
    ensure_items_topic(settings)
    left, sent = iter(items), 0
    with closing(open_producer(settings)) as producer:
        try:
            while chunk := list(islice(left, _CHUNK)):
                values = [(item_id.encode(), item_to_json(item) if item else None) for item_id, item in chunk]
                producer.wait_for([producer.send(settings.items_topic, key=key, value=value) for key, value in values])
                sent += len(chunk)
                if progress:
                    progress(sent, total)
        except KafkaFailedError as error:
            raise CatalogueError(f"Kafka took {sent} of {total} items and no more ({error}): run it again") from error
    return sent


def read_catalogue(settings: StreamingSettings, progress: Progress | None = None) -> tuple[list[Item], int]:
    """Every item that the topic holds now, in order of the ids; and how many messages are no valid items.

    Such a message counts as none, as for the online store. Raises KafkaFailedError, or CatalogueError if there is
    no such topic.
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
    with closing(open_whole_topic(settings, settings.items_topic)) as topic:
        if not topic.exists:
            raise CatalogueError(
                f"there is no topic {settings.items_topic}: `nextclick items load` makes it, or set ITEMS_TOPIC"
            )
        yield from topic.unread(progress)
