"""Reads the dead letter topic, and what was sent back of it, from the first message to the newest, without a group."""

from collections.abc import Iterator
from contextlib import closing

from streaming.dead_letters.letters import Letter, letter_of
from streaming.errors import DeadLettersError
from streaming.kafka.topics import DEAD_LETTER_MAX_BYTES
from streaming.kafka.whole_topic import Progress, WholeTopic, open_whole_topic
from streaming.settings import StreamingSettings


def replayed_topic(settings: StreamingSettings) -> str:
    """The compacted topic that keeps, keyed by `Letter.identity`, what was sent back."""
    return f"{settings.dead_letter_topic}.replayed"


def read_letters(settings: StreamingSettings, progress: Progress | None = None) -> Iterator[Letter]:
    """The letters that are there now, by partition in the order of their offsets.

    Raises KafkaFailedError, or DeadLettersError if there is no such topic.
    """
    with closing(_open(settings, settings.dead_letter_topic)) as topic:
        if not topic.exists:
            raise DeadLettersError(
                f"there is no topic {settings.dead_letter_topic}: `nextclick stream` makes it, "
                "or set DEAD_LETTER_TOPIC to yours"
            )
        yield from map(letter_of, topic.unread(progress))


def read_letter(settings: StreamingSettings, partition: int, offset: int) -> Letter:
    """The letter at one place. Raises KafkaFailedError, or DeadLettersError if there is no letter at that place."""
    with closing(_open(settings, settings.dead_letter_topic)) as topic:
        if record := topic.record_at(partition, offset):
            return letter_of(record)
    raise DeadLettersError(f"there is no dead letter at {partition}@{offset}: `nextclick dlq list` shows what there is")


def read_replayed(settings: StreamingSettings) -> set[str]:
    """Identities of the letters that were sent back; none if that never happened. Raises KafkaFailedError."""
    with closing(_open(settings, replayed_topic(settings))) as topic:
        return {record.key.decode(errors="replace") for record in topic.unread() if record.key}


def _open(settings: StreamingSettings, name: str) -> WholeTopic:
    return open_whole_topic(settings, name, max_partition_fetch_bytes=DEAD_LETTER_MAX_BYTES)
