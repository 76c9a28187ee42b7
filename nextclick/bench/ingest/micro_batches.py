"""The consumer's own micro-batches of a topic, and the very rows that it writes for each of them."""

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing

from kafka import KafkaConsumer
from kafka.consumer.fetcher import ConsumerRecord

from feature_repo.online.redis_commands import Command
from feature_repo.online.redis_rows import RedisRows
from feature_repo.online.rows import EncodedRow, Sending
from feature_repo.schema import Event
from nextclick.bench.errors import BenchError
from streaming.events.parser import EventParser
from streaming.kafka.batches import Batch
from streaming.kafka.consumer import POLL_MS
from streaming.kafka.member import consumer_options, open_consumer
from streaming.sessions.batches import EventBatch
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
            batch = Batch(consumer.poll(timeout_ms=POLL_MS))
            if batch:
                seen, heard_at = seen + len(batch), time.monotonic()
                yield batch
            elif time.monotonic() - heard_at > _SILENT_SECONDS:
                raise BenchError(f"Kafka handed out {seen} of {target} messages and then none: is it well?")


def parse_batch(parser: EventParser, batch: Batch) -> list[EventBatch]:
    """As the consumer parses it. An invalid message raises EventError."""
    return [
        EventBatch("bench", partition.partition, 0, records[-1].offset + 1, _events(parser, records))
        for partition, records in batch.records.items()
    ]


def _events(parser: EventParser, records: Sequence[ConsumerRecord]) -> list[tuple[int, Event]]:
    return [(record.offset, parser.parse_record(record)) for record in records]


class RecordingFold:
    """The consumer's fold into the online store, which also tells what it wrote."""

    def __init__(self, settings: StreamingSettings) -> None:
        self._rows = _RecordingRows(settings)
        self._fold = OnlineFold(self._rows, settings)

    def fold(self, batches: Sequence[EventBatch]) -> list[EncodedRow]:
        """The rows that these events changed."""
        self._rows.written.clear()
        self._fold.apply(batches)
        return list(self._rows.written)

    def close(self) -> None:
        """Give the connection back."""
        self._rows.close()


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
    ) -> Sending[bool]:
        """Store rows and positions together."""
        self.written += rows
        return super().send_commit(positions, rows, also, is_rewrite)

    def send_swap(self, rows: Sequence[EncodedRow], revisions: Sequence[int]) -> Sending[list[bool]]:
        """Store rows whose revision is still the one given."""
        self.written += rows
        return super().send_swap(rows, revisions)
