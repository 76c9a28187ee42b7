"""Sends dead letters back to the topic they came from, each once however often it is asked to.

What was sent back is remembered in Kafka: a compacted topic beside the dead letters, keyed by where a message was first
read. Sent first, remembered then: a crash in between may send the letters of one chunk again, and their event ids make
that harmless.
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from functools import cache
from itertools import islice

import orjson
from kafka.future import Future

from feature_repo.fields import now_ms
from streaming.catalogue.topic import newest_places
from streaming.dead_letters.letters import LETTER_OPTIONS, REPLAYS, Letter
from streaming.dead_letters.reader import read_letters, read_replayed, replayed_topic
from streaming.errors import DeadLettersError, KafkaFailedError
from streaming.kafka.producer import Producer, open_producer
from streaming.kafka.topics import ensure_compacted_topic
from streaming.kafka.whole_topic import Progress
from streaming.settings import StreamingSettings

MAX_REPLAYS = 3
"""Times that a message is sent back before only force does it again."""

_CHUNK = 200


@dataclass(frozen=True, slots=True)
class ReplayOptions:
    """Which letters to send back, and how."""

    reason: str | None = None
    field: str | None = None
    """Or one inside of it: `attributes` matches `attributes.price`."""
    dry_run: bool = False
    keep_timestamps: bool = False
    """Send the message's own time again instead of now, so that its events' times are judged as the first time."""
    force: bool = False
    """Also messages that were sent back MAX_REPLAYS times and came back each time."""


@dataclass(slots=True)
class ReplayResult:
    """Letters by reason."""

    sent: Counter[str] = field(default_factory=Counter)
    """Sent back, or in a dry run to be sent back."""
    replayed_before: Counter[str] = field(default_factory=Counter)
    repeated: Counter[str] = field(default_factory=Counter)
    """Written twice for one message."""
    hopeless: Counter[str] = field(default_factory=Counter)
    """Sent back too often."""
    without_source: Counter[str] = field(default_factory=Counter)
    """Not written by our consumer: nothing says where they came from."""
    superseded: Counter[str] = field(default_factory=Counter)
    """Of items that were sent anew since: what came later would be undone."""
    refused: Counter[str] = field(default_factory=Counter)
    """Not taken by Kafka, while others were: too large for their topic, say, or their topic is gone."""
    refusal: str = ""
    """The first of these, in words."""
    not_matching: int = 0


def replay(settings: StreamingSettings, options: ReplayOptions, progress: Progress | None = None) -> ReplayResult:
    """Send back what matches and was not sent back before.

    Raises KafkaFailedError if letters cannot be read, DeadLettersError if none can be sent.
    """
    result = ReplayResult()
    chosen = _choose(settings, read_letters(settings, progress), read_replayed(settings), options, result)
    if options.dry_run:
        result.sent.update(letter.reason for letter in chosen)
        return result
    ensure_compacted_topic(settings, replayed_topic(settings))
    with closing(open_producer(settings, **LETTER_OPTIONS)) as producer:
        while chunk := list(islice(chosen, _CHUNK)):
            _send(producer, settings, chunk, options.keep_timestamps, result)
    return result


def _choose(
    settings: StreamingSettings,
    letters: Iterable[Letter],
    replayed: set[str],
    options: ReplayOptions,
    result: ReplayResult,
) -> Iterator[Letter]:
    seen: set[str] = set()
    newest_items = cache(lambda: newest_places(settings))
    for letter in letters:
        if not letter.matches(options.reason, options.field):
            result.not_matching += 1
        elif not letter.source_topic or letter.source_offset < 0:
            result.without_source[letter.reason] += 1
        elif letter.identity in replayed:
            result.replayed_before[letter.reason] += 1
        elif letter.identity in seen:
            result.repeated[letter.reason] += 1
        elif letter.replays >= MAX_REPLAYS and not options.force:
            result.hopeless[letter.reason] += 1
        elif letter.source_topic == settings.items_topic and _is_superseded(letter, newest_items()):
            result.superseded[letter.reason] += 1
        else:
            seen.add(letter.identity)
            yield letter


def _is_superseded(letter: Letter, newest: dict[bytes, tuple[int, int]]) -> bool:
    partition, offset = newest.get(letter.key or b"", (-1, -1))
    return partition == letter.source_partition and offset > letter.source_offset


def _send(
    producer: Producer,
    settings: StreamingSettings,
    chunk: list[Letter],
    keep_timestamps: bool,
    result: ReplayResult,
) -> None:
    """Those that Kafka takes are remembered, whatever becomes of the others."""
    sent: list[Letter] = []
    refused: list[tuple[Letter, KafkaFailedError]] = []
    under_way: list[tuple[Letter, Future]] = []
    for letter in chunk:
        try:
            under_way.append((letter, _send_back(producer, letter, keep_timestamps)))
        except KafkaFailedError as error:
            refused.append((letter, error))
    for letter, future in under_way:
        try:
            producer.wait_for([future])
        except KafkaFailedError as error:
            refused.append((letter, error))
        else:
            sent.append(letter)
    try:
        producer.wait_for([_remember(producer, replayed_topic(settings), letter) for letter in sent])
        if not sent:
            raise refused[0][1]
    except KafkaFailedError as error:
        place = chunk[0].place
        raise DeadLettersError(
            f"Kafka does not take the letters back, from {place} on: {error}; run it again"
        ) from error
    result.sent.update(letter.reason for letter in sent)
    result.refused.update(letter.reason for letter, _ in refused)
    if refused and not result.refusal:
        letter, refusal = refused[0]
        result.refusal = f"{letter.place}, for {letter.source_topic}: {refusal}"


def _send_back(producer: Producer, letter: Letter, keep_timestamps: bool) -> Future:
    headers = [(name, value) for name, value in letter.headers if value is not None]
    return producer.send(
        letter.source_topic,
        key=letter.key,
        value=letter.value,
        headers=[*headers, (REPLAYS, str(letter.replays + 1).encode())],
        timestamp_ms=letter.source_timestamp_ms if keep_timestamps and letter.source_timestamp_ms >= 0 else None,
    )


def _remember(producer: Producer, topic: str, letter: Letter) -> Future:
    note = {"letter": letter.place, "reason": letter.reason, "at_ms": now_ms()}
    return producer.send(topic, key=letter.identity.encode(), value=orjson.dumps(note))
