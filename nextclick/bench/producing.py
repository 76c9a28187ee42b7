"""Fills a topic with a backlog, as fast as kafka-python sends, and with no more than a part of it in memory."""

from collections.abc import Callable, Iterable

from kafka import KafkaProducer

from feature_repo.schema import Event
from streaming.events.parser import event_to_json
from streaming.kafka.failures import kafka_errors, open_client
from streaming.kafka_settings import KafkaSettings

_FLUSH_EVERY = 20_000
_FLUSH_SECONDS = 60.0
_CLOSE_SECONDS = 10.0


def fill(settings: KafkaSettings, topic: str, events: Iterable[Event], advance: Callable[[int], None]) -> int:
    """Send the events in their order and wait for the broker to have them; how many there were.

    A message is as old as the newest event so far, as if each event had been sent when it happened: data of years can
    be sent today without one of them being too old. Raises KafkaFailedError.
    """
    options = {"acks": "all", "linger_ms": 20, "batch_size": 128 * 1024, "compression_type": None}
    producer = open_client(settings, KafkaProducer, **options)
    count, arrived_ms = 0, 0
    with kafka_errors(settings):
        try:
            for event in events:
                arrived_ms = max(arrived_ms, event.timestamp_ms)
                key = event.session_id.encode()
                producer.send(topic, key=key, value=event_to_json(event), timestamp_ms=arrived_ms)
                count += 1
                if count % _FLUSH_EVERY == 0:
                    producer.flush(_FLUSH_SECONDS)
                    advance(count)
            producer.flush(_FLUSH_SECONDS)
        finally:
            producer.close(timeout=_CLOSE_SECONDS)
    advance(count)
    return count
