"""Messages that are no valid events, kept untouched in a topic of their own with the reason beside them."""

from collections.abc import Sequence

from kafka import KafkaProducer
from kafka.consumer.fetcher import ConsumerRecord
from kafka.future import Future

from streaming.errors import EventError
from streaming.settings import StreamingSettings
from streaming.topics import DEAD_LETTER_MAX_BYTES

_FLUSH_TIMEOUT_SECONDS = 30


class DeadLetters:
    """Sends to the dead letter topic; a message may come twice if the process dies before its offset is committed."""

    def __init__(self, settings: StreamingSettings) -> None:
        self._topic = settings.dead_letter_topic
        self._producer = KafkaProducer(
            bootstrap_servers=settings.kafka_bootstrap_servers,
            acks="all",
            max_request_size=DEAD_LETTER_MAX_BYTES,
            max_block_ms=5000,  # the consumer tries again, and looks in between whether it has been told to stop
        )

    def send(self, rejected: Sequence[tuple[ConsumerRecord, EventError]]) -> None:
        """Return once the brokers have all of them; raises KafkaError otherwise."""
        futures = [self._send(record, error) for record, error in rejected]
        for future in futures:
            future.get(timeout=_FLUSH_TIMEOUT_SECONDS)

    def _send(self, record: ConsumerRecord, error: EventError) -> Future:
        # Our client refuses a message with neither key nor value; other clients write them, hence the empty value.
        value = record.value if record.key else record.value or b""
        return self._producer.send(self._topic, value=value, key=record.key, headers=_headers(record, error))

    def close(self) -> None:
        """Give connections back."""
        self._producer.close(timeout=5)


def _headers(record: ConsumerRecord, error: EventError) -> list[tuple[str, bytes]]:
    texts = {
        "reason": str(error),
        "field": error.field,
        "topic": record.topic,
        "partition": str(record.partition),
        "offset": str(record.offset),
    }
    return [(name, text.encode()) for name, text in texts.items()]
