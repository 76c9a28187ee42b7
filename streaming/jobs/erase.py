"""Removes a person: from the online store, from the archive, and from whatever is read again later.

First everybody is told to drop the person's events (`erasures`), then what was kept is removed: in the other order a
consumer could write it back in between.
"""

import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field

import orjson
from kafka.admin import ConfigResource, ConfigResourceType

from feature_repo.archive.folder import ArchiveFolder, open_archive
from feature_repo.archive.reader import read_where, retry_if_gone
from feature_repo.online.redis_layout import decode_value
from feature_repo.online.redis_rows import RedisRows
from feature_repo.online.scan import sessions_of_user
from feature_repo.views import SESSION_EVENTS, USER_HISTORY, FeatureType, View
from streaming.dead_letters.letters import Letter
from streaming.dead_letters.reader import read_letters
from streaming.erasures import REFRESH_SECONDS, Erasures, send_erasures
from streaming.jobs.erased_rows import remove_erased
from streaming.kafka.admin import open_admin
from streaming.settings import StreamingSettings

_PASSES = 5

Note = Callable[[str], None]
Progress = Callable[[int, int], None]


@dataclass(slots=True)
class Person:
    """What is kept of a person."""

    user_id: str
    session_ids: set[str] = field(default_factory=set)
    has_history: bool = False
    archived_events: int = 0

    @property
    def is_known(self) -> bool:
        """Whether anything is kept."""
        return bool(self.session_ids or self.has_history or self.archived_events)


@dataclass(slots=True)
class Erased:
    """What was removed."""

    sessions: int = 0
    online_rows: int = 0
    archived_events: int = 0
    archive_files: int = 0
    before_ms: int = 0
    """Events up to this time are dropped wherever they come from."""
    is_complete: bool = False
    """Whether nothing was found in the end; else a writer does not know of the erasure."""


@dataclass(frozen=True, slots=True)
class Remains:
    """What cannot be removed."""

    dead_letters: int
    """Messages of the dead letter topic that hold the id."""
    retention_ms: dict[str, int]
    """By topic; -1 is for ever. Kafka's messages cannot be changed."""


def find_person(settings: StreamingSettings, user_id: str, progress: Progress | None = None) -> Person:
    """Look through online store and archive. Raises OnlineStoreError and ArchiveError."""
    person = Person(user_id, sessions_of_user(settings, user_id, progress))
    with closing(RedisRows(settings)) as rows:
        (history,) = rows.read([(USER_HISTORY, user_id)])
    if history:
        person.has_history = True
        column = list(USER_HISTORY.features).index("session_ids")
        person.session_ids |= set(decode_value(FeatureType.STRING_LIST, history[column]))
    folder = open_archive(settings.archive_path)
    person.session_ids |= _archived_sessions(folder, user_id)
    person.archived_events = _count_archived(folder, person)
    return person


def erase(settings: StreamingSettings, person: Person, note: Note | None = None) -> Erased:
    """Remove what was found, and what turns up meanwhile. May be run again, also after a crash.

    Raises OnlineStoreError, ArchiveError and KafkaFailedError.
    """
    tell = note or (lambda _: None)
    erased = Erased()
    folder = open_archive(settings.archive_path)
    with closing(Erasures(settings)) as erasures:
        session_ids: set[str] = set()
        for _ in range(_PASSES):
            session_ids |= person.session_ids
            tell("telling consumers")
            erased.before_ms = send_erasures(settings, person.user_id, person.session_ids)
            time.sleep(2 * REFRESH_SECONDS)  # until all of them have looked
            erasures.refresh()
            tell("online store")
            erased.online_rows += _remove_online(settings, person.user_id, person.session_ids)
            tell("archive")
            rows, files = remove_erased(folder, erasures)
            erased.archived_events += rows
            erased.archive_files += files
            tell("looking again")
            person = find_person(settings, person.user_id)
            if not person.is_known:
                break
    erased.sessions = len(session_ids)
    erased.is_complete = not person.is_known
    return erased


def find_remains(settings: StreamingSettings, user_id: str) -> Remains:
    """Count what stays in Kafka, until its retention ends. Raises KafkaFailedError and DeadLettersError."""
    needles = [user_id.encode(), orjson.dumps(user_id)[1:-1]]
    topics = [settings.events_topic, settings.dead_letter_topic]
    retention_ms = _retention_ms(settings, topics)
    letters = read_letters(settings) if settings.dead_letter_topic in retention_ms else iter(())
    return Remains(sum(_holds(letter, needles) for letter in letters), retention_ms)


def _archived_sessions(folder: ArchiveFolder, user_id: str) -> set[str]:
    table = retry_if_gone(lambda: read_where(folder, ["session_id"], "user_id", [user_id]))
    return set(table["session_id"].to_pylist())


def _count_archived(folder: ArchiveFolder, person: Person) -> int:
    sessions = sorted(person.session_ids)
    return len(retry_if_gone(lambda: read_where(folder, ["event_id"], "session_id", sessions)))


def _remove_online(settings: StreamingSettings, user_id: str, session_ids: set[str]) -> int:
    wanted: list[tuple[View, str]] = [(USER_HISTORY, user_id), *((SESSION_EVENTS, each) for each in session_ids)]
    with closing(RedisRows(settings)) as rows:
        there = [row for row, found in zip(wanted, rows.read(wanted), strict=True) if found]
        rows.delete(wanted)
    return len(there)


def _holds(letter: Letter, needles: list[bytes]) -> bool:
    parts = [letter.key, letter.value, letter.error.encode(), *(value for _, value in letter.headers)]
    parts += [_as_we_write_it(part) for part in parts if part]
    return any(needle in part for part in parts if part for needle in needles)


def _as_we_write_it(part: bytes) -> bytes:
    """JSON without the escapes that others may choose, which would hide an id; nothing if it is none."""
    try:
        return orjson.dumps(orjson.loads(part))
    except (ValueError, TypeError, RecursionError):
        return b""


def _retention_ms(settings: StreamingSettings, topics: list[str]) -> dict[str, int]:
    """Of those topics that exist."""
    with open_admin(settings) as admin:
        there = admin.topics()
        asked = [ConfigResource(ConfigResourceType.TOPIC, topic) for topic in topics if topic in there]
        if not asked:
            return {}
        found = admin.ask(lambda client: client.describe_configs(asked, config_filter="all"))["topic"]
    return {topic: int(configs["retention.ms"]["value"]) for topic, configs in found.items()}
