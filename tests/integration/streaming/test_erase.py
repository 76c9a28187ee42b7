"""Whoever asks to be forgotten is found nowhere afterwards, and nothing brings them back."""

import json
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from feature_repo.archive.folder import open_archive
from feature_repo.archive.names import OffsetRange
from feature_repo.feature_store import apply
from feature_repo.online.redis_rows import RedisRows
from feature_repo.schema import Event, EventType
from nextclick.cli import commands
from runtime.errors import NextclickError
from streaming.archive.files import write_events
from streaming.archive.writer import run_archive
from streaming.erasures import REFRESH_SECONDS, SESSION, USER, Erasures, send_erasures
from streaming.jobs.backfill import Times, backfill
from streaming.jobs.erase import Person, erase, find_person, find_remains
from streaming.kafka.producer import open_producer
from streaming.kafka.whole_topic import open_whole_topic
from streaming.sessions.batches import EventBatch
from streaming.sessions.consumer import run_consumer
from streaming.sessions.folding import OnlineFold
from streaming.settings import StreamingSettings
from tests.support.empty_store import dump, empty_store
from tests.support.stage_thread import running
from tests.support.stored_rows import StoredRows
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from tests.integration.conftest import Sender

NOW_MS = time.time_ns() // 1_000_000
ALICE, BOB = "alice@example.org", "bob"


@pytest.fixture
def settings(
    streaming_settings: StreamingSettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[StreamingSettings]:
    monkeypatch.setattr("streaming.jobs.erase.REFRESH_SECONDS", 0.02)  # no consumer runs that would have to look
    Erasures(streaming_settings).close()  # makes the topic
    with empty_store(streaming_settings) as own:
        yield own.model_copy(update={"archive_path": tmp_path / "archive"})


def _events() -> list[Event]:
    """Alice in two sessions (one begins anonymously), Bob in one, and a third one of nobody."""

    def view(n: int, session: str, user: str | None) -> Event:
        return Event(f"{session}-{n}", EventType.VIEW, session, f"i{n}", NOW_MS - 60_000 + n, user)

    return [
        *(view(n, "alice-phone", None if n < 4 else ALICE) for n in range(8)),
        *(view(n, "alice-laptop", ALICE) for n in range(3)),
        *(view(n, "bob-phone", BOB if n else None) for n in range(5)),
        *(view(n, "nobody", None) for n in range(2)),
    ]


ALICES = [event for event in _events() if event.session_id.startswith("alice")]
OTHERS = [event for event in _events() if not event.session_id.startswith("alice")]


def _fold(settings: StreamingSettings, events: list[Event], first: int = 0) -> None:
    with closing(RedisRows(settings)) as rows:
        fold = OnlineFold(rows, settings)
        fold.apply([EventBatch("t", 0, 0, first + len(events), list(enumerate(events, first)))])


def _fill(settings: StreamingSettings) -> None:
    """Store and archive as consumer and archive writer leave them, in three files."""
    events = _events()
    _fold(settings, events)
    archive = open_archive(settings.archive_path)
    for first in range(0, len(events), 6):
        some = list(enumerate(events[first : first + 6], first))
        write_events(archive, some, OffsetRange("t", 0, first, first + len(some)))


def _everything(settings: StreamingSettings) -> str:
    """Keys and values of the store, rows of the archive, names of files, messages of what erasing writes."""
    rows: list[Any] = []
    for path in sorted(settings.archive_path.rglob("*")):
        rows.append(str(path))
        if path.suffix == ".parquet":
            rows += pq.ParquetFile(path).read().to_pylist()
        elif path.is_file():
            rows.append(path.read_bytes())
    # Redis may hand keys and fields out in another order each time.
    store = sorted((key, sorted(v.items()) if isinstance(v, dict) else v) for key, v in dump(settings).items())
    return repr((store, rows, _messages(settings, settings.erasures_topic)))


def _messages(settings: StreamingSettings, topic: str) -> list[tuple[bytes, bytes]]:
    with closing(open_whole_topic(settings, topic)) as whole:
        return [(record.key, record.value) for record in whole.unread()]


def _without_alice(settings: StreamingSettings) -> StreamingSettings:
    _fill(settings)
    person = find_person(settings, ALICE)
    assert erase(settings, person).is_complete
    return settings


def test_the_id_is_found_nowhere_afterwards_and_everybody_else_is_still_there(settings: StreamingSettings) -> None:
    _fill(settings)
    others_before = {key: value for key, value in dump(settings).items() if b"alice" not in key}
    before = _everything(settings)
    assert ALICE in before
    assert "alice-phone" in before
    person = find_person(settings, ALICE)
    assert (person.session_ids, person.has_history, person.archived_events) == (
        {"alice-phone", "alice-laptop"},
        True,
        len(ALICES),
    )
    result = erase(settings, person)
    assert result.is_complete
    assert (result.sessions, result.online_rows, result.archived_events) == (2, 3, len(ALICES))
    assert "alice" not in _everything(settings)
    assert dump(settings) == others_before
    archived = pq.ParquetDataset(settings.archive_path).read(["event_id"])["event_id"].to_pylist()
    assert sorted(archived) == sorted(event.event_id for event in OTHERS)
    assert not find_person(settings, ALICE).is_known


def test_sessions_are_found_that_only_the_online_store_knows(settings: StreamingSettings) -> None:
    without_history = settings.model_copy(update={"fold_user_history": False})
    _fold(without_history, _events())
    assert find_person(settings, ALICE).session_ids == {"alice-phone", "alice-laptop"}
    assert find_person(settings, BOB).session_ids == {"bob-phone"}
    assert find_person(settings, "bo").session_ids == set()


def test_nothing_brings_an_erased_person_back(settings: StreamingSettings, sender: "Sender") -> None:
    _without_alice(settings)
    sender.events(_events())  # as if the consumers' offsets were set back
    with running(run_archive, settings):
        wait_until("the others", lambda: _archived(settings) >= 2 * len(OTHERS))
    backfill(settings, Times())
    assert "alice" not in _everything(settings)

    late = Event("late", EventType.VIEW, "alice-tablet", "i", NOW_MS - 5_000, ALICE)  # a device that was offline
    again = Event("again", EventType.VIEW, "alice-phone", "i", NOW_MS + 3_600_000, ALICE)  # an hour from now
    erasures = Erasures(settings)
    assert [erasures.is_erased(event) for event in (*ALICES, *OTHERS, late, again)] == [
        *[True] * len(ALICES),
        *[False] * len(OTHERS),
        True,
        False,
    ]
    erasures.close()


def test_who_is_erased_while_their_events_still_come_is_gone_as_well(
    settings: StreamingSettings, sender: "Sender", monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only what happened before the erasure is dropped: such events may still come, an hour late."""
    monkeypatch.setattr("streaming.jobs.erase.REFRESH_SECONDS", REFRESH_SECONDS)
    apply(settings)
    sent: list[Event] = []
    stop = threading.Event()

    def send() -> None:
        while not stop.wait(0.01):
            number = len(sent)
            session, user = ("alice-phone", ALICE) if number % 2 else ("bob-phone", BOB)
            sent.append(Event(f"{session}-{number}", EventType.VIEW, session, "i", NOW_MS - 3_600_000 + number, user))
            sender.events(sent[-1:])

    flushing = settings.model_copy(update={"archive_flush_seconds": 0.1})
    with running(run_consumer, settings), running(run_archive, flushing):
        thread = threading.Thread(target=send)
        thread.start()
        try:
            wait_until("her history and archived events", lambda: _is_all_over(find_person(settings, ALICE)))
            before = len(sent)
            assert erase(settings, find_person(settings, ALICE)).is_complete
            wait_until("more events", lambda: len(sent) > before + 300)
        finally:
            stop.set()
            thread.join()
        bobs = sorted(event.event_id for event in sent if event.user_id == BOB)
        wait_until("all of Bob's", lambda: _archived(settings) == len(bobs) and _has_newest(settings, bobs))
    assert "alice" not in _everything(settings)
    archived = pq.ParquetDataset(settings.archive_path).read(["event_id"])["event_id"].to_pylist()
    assert sorted(archived) == bobs


def _is_all_over(person: Person) -> bool:
    return bool(person.session_ids and person.has_history and person.archived_events)


def _has_newest(settings: StreamingSettings, event_ids: list[str]) -> bool:
    newest = max(event_ids, key=lambda event_id: int(event_id.rpartition("-")[2]))
    with closing(StoredRows(settings)) as store:
        return store.read_sessions(["bob-phone"])["bob-phone"].events[-1].event_id == newest


def _archived(settings: StreamingSettings) -> int:
    return sum(pq.ParquetFile(path).metadata.num_rows for path in settings.archive_path.rglob("*.parquet"))


def test_an_erasure_that_crashed_is_made_good_by_the_next(
    settings: StreamingSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    _fill(settings)
    for step in ("send_erasures", "_remove_online", "remove_erased"):
        with monkeypatch.context() as patch:
            patch.setattr(f"streaming.jobs.erase.{step}", _crash)
            with pytest.raises(InterruptedError):
                erase(settings, find_person(settings, ALICE))
    assert erase(settings, find_person(settings, ALICE)).is_complete
    assert "alice" not in _everything(settings)


def _crash(*_: object) -> None:
    raise InterruptedError


def test_erasures_are_seen_by_those_who_run_and_again_by_those_who_start(settings: StreamingSettings) -> None:
    erasures = Erasures(settings)
    assert not erasures
    assert not erasures.refresh()
    before_ms = send_erasures(settings, ALICE, ["s1", "s2"])
    assert not erasures.refresh(max_age_seconds=60)
    assert erasures.refresh()
    assert not erasures.refresh()
    restarted = Erasures(settings)
    for each in (erasures, restarted):
        assert each.before_ms(USER, ALICE) == each.before_ms(SESSION, "s2") == before_ms
        assert each.before_ms(USER, "s2") == each.before_ms(SESSION, "s3") == -1
        each.close()


def test_another_key_hides_the_ids_in_another_way(settings: StreamingSettings) -> None:
    keyed = settings.model_validate(settings.model_dump() | {"erasure_key": "pepper"})
    for each in (settings, keyed):
        send_erasures(each, ALICE, [])
    keys = [key for key, _ in _messages(settings, settings.erasures_topic)]
    assert len(set(keys)) == 2
    assert all(len(key) == 64 for key in keys)


def test_what_is_no_erasure_is_left_out(settings: StreamingSettings, caplog: pytest.LogCaptureFixture) -> None:
    Erasures(settings).close()  # makes the topic
    producer = open_producer(settings)
    for value in (b"not json", b"[]", b'{"before_ms": "soon"}', b'{"after_ms": 1}'):
        producer.send(settings.erasures_topic, key=b"k", value=value)
    producer.close()
    before_ms = send_erasures(settings, ALICE, [])
    with closing(Erasures(settings)) as erasures:
        assert erasures.before_ms(USER, ALICE) == before_ms
    assert caplog.text.count("is no erasure: left out") == 4


def test_what_stays_in_kafka_is_told(settings: StreamingSettings) -> None:
    producer = open_producer(settings)
    for value in (ALICE, 'umlaut "ü"', "other", "a/b"):
        for is_ascii in (True, False):  # both are JSON, and so is a slash with a backslash before it
            text = json.dumps({"user_id": value}, ensure_ascii=is_ascii)
            text = text.replace("/", r"\/") if is_ascii else text
            producer.send(settings.dead_letter_topic, value=text.encode())
    producer.close()
    for value in (ALICE, 'umlaut "ü"', "a/b"):
        assert find_remains(settings, value).dead_letters == 2
    assert find_remains(settings, "nobody").dead_letters == 0
    assert set(find_remains(settings, ALICE).retention_ms) == {settings.events_topic, settings.dead_letter_topic}


def test_the_command_line_looks_asks_and_erases(settings: StreamingSettings, monkeypatch: pytest.MonkeyPatch) -> None:
    _fill(settings)
    for name in ("kafka_bootstrap_servers", "archive_path", "erasures_topic", "events_topic", "dead_letter_topic"):
        monkeypatch.setenv(name.upper(), str(getattr(settings, name)))
    monkeypatch.setenv("REDIS_URL", settings.redis_url.get_secret_value())

    def run(*arguments: str) -> Any:
        answer = CliRunner().invoke(commands, ["erase", "--user", ALICE, *arguments], catch_exceptions=False)
        assert answer.exit_code == 0, answer.output
        return json.loads(answer.stdout)

    before = _everything(settings)
    found = run("--dry-run", "--json", "-")
    assert found["found"] == {"sessions": 2, "history": True, "archived_events": len(ALICES)}
    assert found["erased"] is None
    with pytest.raises(NextclickError, match="--yes"):
        CliRunner().invoke(commands, ["erase", "--user", ALICE], catch_exceptions=False)
    assert _everything(settings) == before
    erased = run("--yes", "--json", "-")["erased"]
    assert erased["is_complete"]
    assert erased["archived_events"] == len(ALICES)
    assert ALICE not in _everything(settings)
    assert run("--yes", "--json", "-")["found"]["sessions"] == 0
