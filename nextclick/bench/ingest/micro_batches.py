"""The consumer's own micro-batches of a topic, and the very rows that it writes for each of them."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing

from kafka import KafkaConsumer
from kafka.consumer.fetcher import ConsumerRecord

from feature_repo.online.redis_commands import Command
from feature_repo.online.redis_rows import RedisRows
from feature_repo.online.rows import EncodedRow
from feature_repo.schema import Event
from nextclick.bench.errors import BenchError
from streaming.events.parser import EventParser
from streaming.kafka.consumer import POLL_MS, Batch
from streaming.kafka.member import consumer_options, open_consumer
from streaming.sessions.batches import PartitionBatch
from streaming.sessions.folding import OnlineFold
from streaming.settings import StreamingSettings

_SILENT_SECONDS = 90.0
"""Longer than the broker waits for a member that went without a word before it deals its partitions again."""


def poll_batches(settings: StreamingSettings, target: int, bare: bool = False) -> Iterator[Batch]:
    """What `poll` returns to a member of a group with the consumer's settings, until `target` messages have come.

    Nothing is committed. If `bare`, by kafka-python alone, with nothing of ours in it. Raises BenchError if no message
    comes for long.
    """
    group = settings.consumer_group
    opened = KafkaConsumer(**consumer_options(settings, group)) if bare else open_consumer(settings, group)
    with closing(opened) as consumer:
        consumer.subscribe([settings.events_topic])
        seen, heard_at = 0, time.monotonic()
        while seen < target:
            batch: Batch = consumer.poll(timeout_ms=POLL_MS)
            if batch:
                seen, heard_at = seen + size(batch), time.monotonic()
                yield batch
            elif time.monotonic() - heard_at > _SILENT_SECONDS:
                raise BenchError(f"Kafka handed out {seen} of {target} messages and then none: is it well?")


def size(batch: Batch) -> int:
    """Messages of all partitions."""
    return sum(map(len, batch.values()))


def parse_batch(parser: EventParser, batch: Batch) -> list[PartitionBatch]:
    """As the consumer parses it, save that an invalid message raises EventError."""
    return [
        PartitionBatch("bench", partition.partition, _events(parser, records), records[-1].offset + 1)
        for partition, records in batch.items()
    ]


def _events(parser: EventParser, records: Sequence[ConsumerRecord]) -> list[tuple[int, Event]]:
    return [(record.offset, parser.parse_record(record)) for record in records]


class RecordingFold(OnlineFold):
    """The consumer's fold into the online store, which also tells what it wrote."""

    def __init__(self, settings: StreamingSettings) -> None:
        super().__init__(settings)
        self._rows.close()
        self._recording = _RecordingRows(settings)
        self._rows = self._recording

    def fold(self, batches: Sequence[PartitionBatch]) -> list[EncodedRow]:
        """The rows that these events changed."""
        self._recording.written.clear()
        self.apply(batches)
        return list(self._recording.written)


class _RecordingRows(RedisRows):
    def __init__(self, settings: StreamingSettings) -> None:
        super().__init__(settings)
        self.written: list[EncodedRow] = []

    def send_commit(
        self,
        positions: Mapping[str, int],
        rows: Sequence[EncodedRow],
        also: Sequence[Command] = (),
        is_rewrite: bool = False,
    ) -> Callable[[], bool]:
        """Store rows and positions together."""
        self.written += rows
        return super().send_commit(positions, rows, also, is_rewrite)

    def send_swap(self, rows: Sequence[EncodedRow], revisions: Sequence[int]) -> Callable[[], list[bool]]:
        """Store rows whose revision is still the one given."""
        self.written += rows
        return super().send_swap(rows, revisions)
