"""Messages that are no events reach the dead letter topic of a real broker untouched, and tell what was wrong."""

import json
import time
from contextlib import closing
from itertools import islice
from typing import TYPE_CHECKING

import pyarrow.dataset as ds
import pytest
from kafka import KafkaProducer
from kafka.consumer.fetcher import ConsumerRecord

from feature_repo.archive.columns import EVENT_ARCHIVE_SCHEMA
from feature_repo.errors import Reason
from feature_repo.schema import MAX_EVENT_BYTES
from streaming.archive.writer import run_archive
from streaming.dead_letters.letters import DeadLetters, Letter, Rejected
from streaming.dead_letters.reader import read_letter, read_letters
from streaming.errors import DeadLettersError, EventError, KafkaFailedError
from streaming.events.parser import parse_record
from streaming.kafka.topics import DEAD_LETTER_MAX_BYTES
from streaming.kafka.whole_topic import open_whole_topic
from streaming.sessions.consumer import run_consumer
from streaming.settings import StreamingSettings
from tests.support.stage_thread import running
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from tests.integration.conftest import Sender

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # Feast's own imports
NOW_MS = time.time_ns() // 1_000_000
DAY_MS = 86_400_000
VALID = {"event_id": "e", "event_type": "view", "session_id": "s", "item_id": "i", "timestamp_ms": NOW_MS}


def _json(**changes: object) -> bytes:
    return json.dumps({name: value for name, value in (VALID | changes).items() if value is not ...}).encode()


POISON: dict[str, tuple[bytes | None, list[tuple[str, bytes]], str, Reason]] = {
    "bytes": (b"\xff\x00not json", [], "event", Reason.MALFORMED),
    "nothing": (None, [], "event", Reason.MISSING),
    "protobuf": (b"\xff", [("content-type", b"application/x-protobuf")], "event", Reason.MALFORMED),
    "format": (b"<event/>", [("content-type", b"text/xml")], "content-type", Reason.UNSUPPORTED_FORMAT),
    "version": (_json(schema_version=9), [], "schema_version", Reason.UNSUPPORTED_VERSION),
    "missing": (_json(item_id=...), [], "item_id", Reason.MISSING),
    "type": (_json(item_id=7), [], "item_id", Reason.WRONG_TYPE),
    "value": (_json(event_type="click"), [], "event_type", Reason.UNKNOWN_VALUE),
    "range": (_json(timestamp_ms=-1), [], "timestamp_ms", Reason.OUT_OF_RANGE),
    "long": (_json(user_id="ü" * 257), [], "user_id", Reason.TOO_LONG),
    "control": (_json(item_id="3\0"), [], "item_id", Reason.CONTROL_CHARACTER),
    "unit": (_json(timestamp_ms=NOW_MS // 1000), [], "timestamp_ms", Reason.WRONG_UNIT),
    "large": (b"x" * 900_000, [("original.x", b"1")], "event", Reason.TOO_LARGE),
    "limit": (_json(attributes={str(n): n for n in range(33)}), [], "attributes", Reason.TOO_LARGE),
    "price": (_json(event_type="purchase", attributes={"price": -1}), [], "attributes.price", Reason.OUT_OF_RANGE),
    "key": (_json(session_id="other"), [("trace", b"\xfe"), ("trace", b"2")], "key", Reason.WRONG_KEY),
    "future": (_json(timestamp_ms=NOW_MS + DAY_MS), [], "timestamp_ms", Reason.FROM_THE_FUTURE),
    "old": (_json(timestamp_ms=NOW_MS - 31 * DAY_MS), [], "timestamp_ms", Reason.TOO_OLD),
}


def send_poison(settings: StreamingSettings) -> None:
    """Each kind under the key `s`, in the order of POISON, at NOW_MS + its place."""
    producer = KafkaProducer(bootstrap_servers=settings.kafka_bootstrap_servers)
    for place, (value, headers, *_) in enumerate(POISON.values()):
        producer.send(settings.events_topic, key=b"s", value=value, headers=headers, timestamp_ms=NOW_MS + place)
    producer.flush()
    producer.close()


def read_rejected(settings: StreamingSettings, count: int) -> Rejected:
    """The first `count` messages of the topic, as the consumer hands what it cannot parse to DeadLetters."""
    rejected = Rejected()
    with closing(open_whole_topic(settings, settings.events_topic)) as topic:
        for record in islice(topic.unread(), count):
            with pytest.raises(EventError) as caught:
                parse_record(record)
            rejected.append((record, caught.value))
    return rejected


def _letters(settings: StreamingSettings) -> list[Letter]:
    return sorted(read_letters(settings), key=lambda letter: letter.source_offset)


def _check_all(settings: StreamingSettings) -> None:
    letters = _letters(settings)
    assert [(letter.value, list(letter.headers), letter.field, letter.reason) for letter in letters] == [
        (value, headers, field, reason.value) for value, headers, field, reason in POISON.values()
    ]
    assert {letter.key for letter in letters} == {b"s"}
    assert {letter.source_topic for letter in letters} == {settings.events_topic}
    assert [letter.source_timestamp_ms for letter in letters] == [NOW_MS + n for n in range(len(POISON))]
    assert all(letter.error.startswith(f"{letter.field}: expected ") for letter in letters)
    assert not any(letter.replays for letter in letters)


def test_every_kind_of_poison_is_kept_untouched_with_its_reason(streaming_settings: StreamingSettings) -> None:
    send_poison(streaming_settings)
    dead_letters = DeadLetters(streaming_settings)
    dead_letters.send(read_rejected(streaming_settings, len(POISON)))
    dead_letters.close()
    _check_all(streaming_settings)
    last = _letters(streaming_settings)[-1]
    assert read_letter(streaming_settings, last.partition, last.offset) == last


def test_the_consumer_hands_all_of_them_over(
    streaming_settings: StreamingSettings, sender: "Sender", run_id: str
) -> None:
    send_poison(streaming_settings)
    with running(run_consumer, streaming_settings):
        wait_until("the letters", lambda: len(_letters(streaming_settings)) >= len(POISON))
    _check_all(streaming_settings)


def test_the_archive_leaves_all_of_them_out_and_goes_on(
    streaming_settings: StreamingSettings, sender: "Sender", tmp_path_factory: pytest.TempPathFactory
) -> None:
    settings = streaming_settings.model_copy(update={"archive_path": tmp_path_factory.mktemp("archive")})
    send_poison(settings)
    sender.raw(b"s", _json())
    with running(run_archive, settings):
        wait_until("the one event", lambda: len(list(settings.archive_path.rglob("[!.]*.parquet"))) > 0)
    archived = ds.dataset(settings.archive_path, EVENT_ARCHIVE_SCHEMA, format="parquet").to_table()
    assert archived["event_id"].to_pylist() == ["e"]


def test_headers_that_our_client_cannot_write_are_remembered(streaming_settings: StreamingSettings) -> None:
    record = ConsumerRecord("t", 1, -1, 5, -1, 0, None, None, [("trace", None), ("a", b"")], None, 0, 0, 0)
    dead_letters = DeadLetters(streaming_settings)
    dead_letters.send([(record, EventError("event", "an object", Reason.MISSING))])
    dead_letters.close()
    (letter,) = read_letters(streaming_settings)
    assert letter.headers == (("trace", None), ("a", b""))
    assert (letter.source, letter.source_timestamp_ms, letter.key) == ("t[1]@5", -1, None)


def test_strangers_letters_can_be_read_too(streaming_settings: StreamingSettings) -> None:
    producer = KafkaProducer(bootstrap_servers=streaming_settings.kafka_bootstrap_servers)
    headers = [("offset", b"x" * 5000), ("partition", b"-7"), ("replays", b"\xff"), ("reason", b"\xff\n")]
    producer.send(streaming_settings.dead_letter_topic, value=b"?", headers=headers)
    producer.flush()
    producer.close()
    (letter,) = read_letters(streaming_settings)
    assert (letter.source_topic, letter.source_partition, letter.source_offset, letter.replays) == ("", -1, -1, 0)


@pytest.mark.parametrize("place", [(0, 0), (99, 0), (0, 10**12)])
def test_a_place_without_a_letter_is_told(streaming_settings: StreamingSettings, place: tuple[int, int]) -> None:
    with pytest.raises(DeadLettersError, match=f"no dead letter at {place[0]}@{place[1]}: "):
        read_letter(streaming_settings, *place)


def test_no_topic_is_told_and_not_made(streaming_settings: StreamingSettings, run_id: str) -> None:
    settings = streaming_settings.model_copy(update={"dead_letter_topic": f"nowhere-{run_id}"})
    for _ in range(2):
        with pytest.raises(DeadLettersError, match=f"no topic nowhere-{run_id}"):
            list(read_letters(settings))


def test_a_message_that_was_compressed_may_be_larger_than_any_limit(
    streaming_settings: StreamingSettings, sender: "Sender"
) -> None:
    """The broker's limit is on what it gets."""
    value = b" " * 3 * DEAD_LETTER_MAX_BYTES
    producer = KafkaProducer(
        bootstrap_servers=streaming_settings.kafka_bootstrap_servers,
        compression_type="gzip",
        max_request_size=2 * len(value),
    )
    producer.send(streaming_settings.events_topic, key=b"s", value=value).get(20)
    producer.close()
    with running(run_consumer, streaming_settings):
        wait_until("a letter", lambda: bool(list(read_letters(streaming_settings))))
    (letter,) = read_letters(streaming_settings)
    assert (letter.reason, letter.value == value) == ("too_large", True)


def test_a_topic_that_cannot_take_a_letter_is_a_kafka_error(streaming_settings: StreamingSettings, run_id: str) -> None:
    settings = streaming_settings.model_copy(update={"dead_letter_topic": f"nowhere-{run_id}"})
    record = ConsumerRecord("t", 0, -1, 5, NOW_MS, 0, b"s", b"x" * MAX_EVENT_BYTES, [], None, 0, 0, 0)
    dead_letters = DeadLetters(settings)
    with pytest.raises(KafkaFailedError):
        dead_letters.send([(record, EventError("event", "an object", Reason.MALFORMED))])
    dead_letters.close()
