"""Messages that are no valid events, kept untouched in a topic of their own with the reason beside them.

Headers of a letter: `reason`, `field`, `error` (the sentence), `topic`, `partition`, `offset`, `timestamp_ms` (the
message's own), `replays` if it had been sent back before, and the message's headers as `original.NAME`.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from kafka.consumer.fetcher import ConsumerRecord
from kafka.future import Future

from streaming.errors import EventError, KafkaFailedError
from streaming.kafka.producer import Producer, open_producer
from streaming.settings import StreamingSettings

REPLAYS = "nextclick-replays"
"""Header of a message that was sent back: how often, so that a hopeless one does not go round for ever."""

_ORIGINAL = "original."
_ORIGINAL_NULL = "original-null."
LETTER_OPTIONS: dict[str, int | str] = {"max_request_size": 1 << 28, "compression_type": "gzip"}
"""Of producers. The size is that before compression, the broker's limit that after it: what came compressed may be far
larger than the limit, and must find its place all the same."""

Header = tuple[str, bytes | None]
Rejected = list[tuple[ConsumerRecord, EventError]]
"""Messages, and why each is no valid event or item."""


class DeadLetters:
    """Sends to the dead letter topic; a message may come twice if the process dies before its offset is committed."""

    def __init__(self, settings: StreamingSettings) -> None:
        self._settings = settings
        self._producer: Producer | None = None

    def send(self, rejected: Rejected) -> None:
        """Return once the brokers have all of them; raises KafkaFailedError, within half a minute, otherwise."""
        if self._producer is None:
            self._producer = open_producer(self._settings, **LETTER_OPTIONS)
        try:
            self._producer.wait_for([self._send(self._producer, record, error) for record, error in rejected])
        except KafkaFailedError:
            self.close()  # a producer that was refused for good takes nothing more, though the topic be mended
            raise

    def _send(self, producer: Producer, record: ConsumerRecord, error: EventError) -> Future:
        # Our client refuses a message with neither key nor value; other clients write them, hence the empty value.
        value = record.value if record.key else record.value or b""
        topic = self._settings.dead_letter_topic
        return producer.send(topic, value=value, key=record.key, headers=_headers(record, error))

    def close(self) -> None:
        """Give connections back; `send` opens them again."""
        if self._producer is not None:
            self._producer.close()
            self._producer = None


@dataclass(frozen=True, slots=True)
class Letter:
    """One dead letter as it is read back; texts are empty and numbers -1 where a header is missing or no number."""

    partition: int
    offset: int
    timestamp_ms: int
    reason: str
    field: str
    error: str
    source_topic: str
    source_partition: int
    source_offset: int
    source_timestamp_ms: int
    replays: int
    key: bytes | None
    value: bytes | None
    headers: tuple[Header, ...]
    """The message's own."""

    @property
    def place(self) -> str:
        """Where it lies in the dead letter topic, `partition@offset`."""
        return f"{self.partition}@{self.offset}"

    @property
    def source(self) -> str:
        """Where the message was read, `topic[partition]@offset`."""
        return f"{self.source_topic}[{self.source_partition}]@{self.source_offset}"

    @property
    def identity(self) -> str:
        """The same for letters that a crash wrote twice. With the time, as a topic that is made anew counts anew."""
        return f"{self.source}/{self.source_timestamp_ms}"

    def matches(self, reason: str | None, field: str | None) -> bool:
        """Whether it has this reason and is about this field, or one inside of it; None is any."""
        return reason in (None, self.reason) and (field in (None, self.field) or self.field.startswith(f"{field}."))


def letter_of(record: ConsumerRecord) -> Letter:
    """Any message of the dead letter topic, whoever wrote it."""
    ours = {name: value or b"" for name, value in record.headers if not name.startswith((_ORIGINAL, _ORIGINAL_NULL))}

    def text(name: str) -> str:
        return ours.get(name, b"").decode(errors="backslashreplace")

    return Letter(
        partition=record.partition,
        offset=record.offset,
        timestamp_ms=record.timestamp,
        reason=text("reason"),
        field=text("field"),
        error=text("error"),
        source_topic=text("topic"),
        source_partition=_number(ours.get("partition")),
        source_offset=_number(ours.get("offset")),
        source_timestamp_ms=_number(ours.get("timestamp_ms")),
        replays=max(0, _number(ours.get("replays"))),
        key=record.key,
        value=record.value,
        headers=tuple(_original_headers(record.headers)),
    )


def _headers(record: ConsumerRecord, error: EventError) -> list[tuple[str, bytes]]:
    texts = {
        "reason": error.reason.value,
        "field": error.field,
        "error": str(error),
        "topic": record.topic,
        "partition": str(record.partition),
        "offset": str(record.offset),
        "timestamp_ms": str(record.timestamp),
    }
    headers = [(name, text.encode()) for name, text in texts.items()]
    for name, value in record.headers:
        if name == REPLAYS:
            headers.append(("replays", value or b""))
        elif value is None:  # our client can read such a header, but not write it
            headers.append((_ORIGINAL_NULL + name, b""))
        else:
            headers.append((_ORIGINAL + name, value))
    return headers


def _original_headers(headers: Sequence[Header]) -> list[Header]:
    found: list[Header] = []
    for name, value in headers:
        if name.startswith(_ORIGINAL):
            found.append((name.removeprefix(_ORIGINAL), value))
        elif name.startswith(_ORIGINAL_NULL):
            found.append((name.removeprefix(_ORIGINAL_NULL), None))
    return found


def _number(text: bytes | None) -> int:
    return int(text) if text and len(text) < 20 and text.isdigit() else -1
