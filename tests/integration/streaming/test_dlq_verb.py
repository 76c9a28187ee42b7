"""`nextclick dlq` on a real broker: it shows what is there, and sends each letter back once."""

import base64
import json
import os
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from kafka import KafkaAdminClient, KafkaProducer
from kafka.consumer.fetcher import ConsumerRecord
from typer.testing import CliRunner

import streaming.jobs.replay
from feature_repo.errors import Reason
from nextclick.cli import commands
from runtime.errors import NextclickError
from streaming.dead_letters.letters import REPLAYS, DeadLetters
from streaming.dead_letters.reader import read_letters, replayed_topic
from streaming.errors import DeadLettersError, EventError
from streaming.jobs.replay import MAX_REPLAYS, ReplayOptions, replay
from streaming.kafka.topics import ensure_items_topic
from streaming.kafka.whole_topic import open_whole_topic
from streaming.settings import StreamingSettings

NOW_MS = 1_700_000_000_000
SENT: list[tuple[bytes | None, bytes | None, list[tuple[str, bytes | None]], Reason, str]] = [
    (b"s1", b'{"event_id": "\xff', [("trace", b"\x01"), ("trace", b"2")], Reason.MALFORMED, "event"),
    (b"s1", b"{}", [("content-type", b"application/json")], Reason.MISSING, "event_id"),
    (b"s2", b'{"price": "\xc3\xbc"}', [], Reason.WRONG_TYPE, "attributes.price"),
    (b"s2", None, [], Reason.MISSING, "event"),
    (b"s3", b"\x1b[31mred", [("nothing", None)], Reason.MALFORMED, "event"),
]


def _record(settings: StreamingSettings, offset: int, **changes: Any) -> ConsumerRecord:
    key, value, headers, *_ = SENT[offset % len(SENT)]
    record = ConsumerRecord(
        settings.events_topic, 1, -1, offset, NOW_MS + offset, 0, key, value, headers, None, 0, 0, 0
    )
    return record._replace(**changes)


def _error(offset: int) -> EventError:
    *_, reason, field = SENT[offset % len(SENT)]
    return EventError(field, "something else", reason)


@pytest.fixture
def settings(streaming_settings: StreamingSettings, monkeypatch: pytest.MonkeyPatch) -> StreamingSettings:
    """A dead letter topic that holds SENT, and an environment in which the verbs find it."""
    for name in ("kafka_bootstrap_servers", "events_topic", "dead_letter_topic"):
        monkeypatch.setenv(name.upper(), getattr(streaming_settings, name))
    _write(streaming_settings, range(len(SENT)))
    return streaming_settings


def _write(settings: StreamingSettings, offsets: range, **changes: Any) -> None:
    dead_letters = DeadLetters(settings)
    dead_letters.send([(_record(settings, offset, **changes), _error(offset)) for offset in offsets])
    dead_letters.close()


def _dlq(*arguments: str, expect: int = 0) -> Result:
    result = CliRunner().invoke(commands, ["dlq", *arguments], env={"COLUMNS": "200"})
    assert result.exit_code == expect, result.output
    return result


def _json(*arguments: str) -> dict[str, Any]:
    answer: dict[str, Any] = json.loads(_dlq(*arguments, "--json", "-").stdout)
    return answer


def _messages(settings: StreamingSettings, topic: str) -> list[ConsumerRecord]:
    with closing(open_whole_topic(settings, topic)) as whole:
        return list(whole.unread())


def _place(settings: StreamingSettings, source_offset: int) -> str:
    return next(letter.place for letter in read_letters(settings) if letter.source_offset == source_offset)


def test_list_filters_and_shows_the_newest(settings: StreamingSettings) -> None:
    assert _json("list")["reasons"] == {"malformed": 2, "missing": 2, "wrong_type": 1}
    assert [letter["source_offset"] for letter in _json("list", "--reason", "wrong_type")["letters"]] == [2]
    assert [letter["source_offset"] for letter in _json("list", "--field", "attributes")["letters"]] == [2]
    assert _json("list", "--field", "attribute")["letters"] == []
    _write(settings, range(5, 6))
    limited = _json("list", "--limit", "1")
    assert sum(limited["reasons"].values()) == 6
    assert [letter["source_offset"] for letter in limited["letters"]] == [5]
    table = _dlq("list", "--limit", "2").stdout
    assert "3 malformed, 2 missing, 1 wrong_type; 4 older ones not shown" in table
    assert _dlq("list", "--reason", "too_old").stdout == "no dead letters\n"


def test_nothing_of_a_stranger_acts_on_the_terminal(settings: StreamingSettings) -> None:
    for output in (_dlq("list").stdout, _dlq("show", _place(settings, 4)).stdout):
        assert "\x1b" not in output
        assert "red" in output


def test_show_tells_everything(settings: StreamingSettings, tmp_path: Path) -> None:
    text = _dlq("show", _place(settings, 2)).stdout
    assert '{"price": "ü"}' in text
    assert f"{settings.events_topic}[1]@2" in text
    assert "attributes.price: expected something else" in text
    hexadecimal = _dlq("show", _place(settings, 0)).stdout
    assert '00000000  7b 22 65 76 65 6e 74 5f 69 64 22 3a 20 22 ff     {"event_id": ".' in hexadecimal
    assert "header trace" in hexadecimal
    whole = _json("show", _place(settings, 0))
    assert base64.b64decode(whole["value"]) == SENT[0][1]
    assert [(name, base64.b64decode(value)) for name, value in whole["headers"]] == SENT[0][2]
    saved = tmp_path / "message"
    _dlq("show", _place(settings, 0), "--raw", str(saved))
    assert saved.read_bytes() == _dlq("show", _place(settings, 0), "--raw", "-").stdout_bytes == SENT[0][1]
    _dlq("show", _place(settings, 3), "--raw", str(saved))
    assert saved.read_bytes() == b""


def test_replay_sends_untouched_messages_once(settings: StreamingSettings) -> None:
    assert _json("replay", "--dry-run")["sent"] == {"malformed": 2, "missing": 2, "wrong_type": 1}
    assert _messages(settings, settings.events_topic) == []
    assert _json("replay", "--reason", "missing")["sent"] == {"missing": 2}
    rest = _json("replay")
    assert rest["sent"] == {"malformed": 2, "wrong_type": 1}
    assert rest["replayed_before"] == {"missing": 2}
    again = _json("replay")
    assert (again["sent"], again["replayed_before"]) == ({}, {"malformed": 2, "missing": 2, "wrong_type": 1})
    records = _messages(settings, settings.events_topic)
    assert len(records) == len(SENT)
    assert _as_sent(records) == sorted(
        repr((key, value, [*[header for header in headers if header[1] is not None], (REPLAYS, b"1")]))
        for key, value, headers, *_ in SENT
    )
    assert min(record.timestamp for record in records) > NOW_MS + 1000


def _as_sent(records: list[ConsumerRecord]) -> list[str]:
    return sorted(repr((record.key, record.value, list(record.headers))) for record in records)


def test_replay_keeps_times_if_asked_to(settings: StreamingSettings) -> None:
    _dlq("replay", "--keep-timestamps")
    assert {record.timestamp - NOW_MS for record in _messages(settings, settings.events_topic)} == {0, 1, 2, 3, 4}


def test_a_letter_that_a_crash_wrote_twice_is_sent_once(settings: StreamingSettings) -> None:
    _write(settings, range(2))
    result = _json("replay")
    assert sum(result["sent"].values()) == len(SENT)
    assert sum(result["repeated"].values()) == 2
    # A topic that was made anew has the same offsets once more, and they are other messages.
    _write(settings, range(1), timestamp=NOW_MS + 99)
    assert _json("replay")["sent"] == {"malformed": 1}
    assert len(_messages(settings, settings.events_topic)) == len(SENT) + 1


def test_a_crash_half_way_resends_only_what_was_not_remembered(
    settings: StreamingSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streaming.jobs.replay, "_CHUNK", 2)
    _crash_after(2, monkeypatch, lambda: replay(settings, ReplayOptions()))
    assert sum(replay(settings, ReplayOptions()).sent.values()) == len(SENT) - 2
    assert len(_messages(settings, settings.events_topic)) == len(SENT) + 2
    assert len(_messages(settings, replayed_topic(settings))) == len(SENT)


def _crash_after(remembered: int, monkeypatch: pytest.MonkeyPatch, action: Callable[[], object]) -> None:
    """The process dies once it has sent a second chunk and remembered the first."""

    class CrashError(Exception):
        pass

    left = remembered
    remember = streaming.jobs.replay._remember

    def crash(*arguments: Any) -> Any:
        nonlocal left
        if not left:
            raise CrashError
        left -= 1
        return remember(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(streaming.jobs.replay, "_remember", crash)
        with pytest.raises(CrashError):
            action()


def test_what_comes_back_again_and_again_is_left_alone(settings: StreamingSettings) -> None:
    _dlq("replay")
    for times in range(2, MAX_REPLAYS + 2):
        _consume_the_newest(settings)
        expected = {} if times > MAX_REPLAYS else {"malformed": 1}
        result = _json("replay")
        assert (times, result["sent"]) == (times, expected)
    assert result["hopeless"] == {"malformed": 1}
    assert [letter["replays"] for letter in _json("list", "--limit", "1")["letters"]] == [MAX_REPLAYS]
    assert _json("replay", "--force")["sent"] == {"malformed": 1}


def _consume_the_newest(settings: StreamingSettings) -> None:
    """As the consumer does with a message that came back and is as wrong as before."""
    newest = max(_messages(settings, settings.events_topic), key=lambda record: (record.timestamp, record.offset))
    dead_letters = DeadLetters(settings)
    dead_letters.send([(newest, EventError("event", "something else", Reason.MALFORMED))])
    dead_letters.close()


def test_a_message_that_is_no_letter_is_never_sent(settings: StreamingSettings) -> None:
    producer = KafkaProducer(bootstrap_servers=settings.kafka_bootstrap_servers)
    producer.send(settings.dead_letter_topic, value=b"who wrote this?").get(10)
    producer.close()
    result = _json("replay")
    assert sum(result["sent"].values()) == len(SENT)
    assert result["without_source"] == {"": 1}


def test_a_source_that_is_gone_is_told(settings: StreamingSettings, run_id: str) -> None:
    """And holds up no letter from elsewhere."""
    _write(settings, range(1), topic=f"gone-{run_id}")
    result = _dlq("replay", expect=1)
    assert isinstance(result.exception, NextclickError)
    assert "did not take 1 of the" in str(result.exception)
    assert f"gone-{run_id}" in str(result.exception)
    assert len(_messages(settings, settings.events_topic)) == len(SENT)
    with pytest.raises(DeadLettersError, match="does not take the letters back"):
        replay(settings, ReplayOptions())
    assert len(_messages(settings, settings.events_topic)) == len(SENT)


def test_an_item_that_was_sent_anew_stays_as_it_is(settings: StreamingSettings, run_id: str) -> None:
    settings = settings.model_copy(update={"items_topic": f"items-{run_id}"})
    ensure_items_topic(settings)
    producer = KafkaProducer(bootstrap_servers=settings.kafka_bootstrap_servers)
    sent = {
        key: producer.send(settings.items_topic, key=key, value=b"not json").get(20) for key in (b"mended", b"broken")
    }
    producer.send(settings.items_topic, key=b"mended", value=b"{}").get(20)
    producer.close()
    for key, place in sent.items():
        _write(settings, range(place.offset, place.offset + 1), topic=place.topic, partition=place.partition, key=key)
    result = replay(settings, ReplayOptions())
    assert result.superseded.total() == 1
    assert result.sent.total() == len(SENT) + 1
    replayed = [record.key for record in _messages(settings, settings.items_topic) if dict(record.headers).get(REPLAYS)]
    assert replayed == [b"broken"]


def test_nothing_is_committed(settings: StreamingSettings) -> None:
    admin = KafkaAdminClient(bootstrap_servers=settings.kafka_bootstrap_servers)
    before = _groups(admin)
    _dlq("list")
    _dlq("show", _place(settings, 0))
    _dlq("replay")
    new = _groups(admin) - before
    topics = {partition.topic for group in new for partition in admin.list_group_offsets(group)[group]}
    admin.close()
    assert settings.dead_letter_topic not in topics


def _groups(admin: KafkaAdminClient) -> set[str]:
    return {group["group_id"] for group in admin.list_groups()}


def test_wrong_use_is_told() -> None:
    assert "PARTITION@OFFSET" in _dlq("show", "17", expect=2).output
    assert "invalid value" in _dlq("list", "--reason", "bad", expect=2).output.lower()


def test_no_broker_is_one_clear_line() -> None:
    environment = {**os.environ, "COLUMNS": "200", "KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:1"}
    result = subprocess.run(
        [sys.executable, "-m", "nextclick", "dlq", "list"], env=environment, capture_output=True, text=True, timeout=60
    )
    assert (result.returncode, result.stdout) == (1, "")
    assert result.stderr.startswith("error: Kafka does not answer at 127.0.0.1:1: ")
    assert len(result.stderr.splitlines()) == 1
