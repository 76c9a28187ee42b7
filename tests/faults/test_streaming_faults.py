"""Whatever dies in between, the online store, the archive and the dead letters end as if nothing had."""

import random
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from feature_repo.archive.columns import events_to_table
from streaming.kafka.topics import ensure_topics
from streaming.settings import StreamingSettings
from tests.faults.feeding import Feeder, ends_of, with_offsets
from tests.faults.stages import Progress, dump, letters, stage, stage_settings, write_catalogue
from tests.support.own_servers import Server, redis_server
from tests.support.plain_fold import assert_same, expected_store
from tests.support.planted_stream import PARTITIONS, Message, planted_stream
from tests.support.programs import Process
from tests.support.waiting import LIMIT_SECONDS, wait_until

SEED = 20
EVENTS = 200_000
POISON = 70
CONSUMER_KILLS = 20
ARCHIVE_KILLS = 6
AHEAD = 30_000
"""Messages that are produced before they are read."""
MORE = 1_000


Mark = tuple[int, Callable[[], None]]
"""A count of messages done, and the fault that comes then."""


@dataclass
class Tally:
    """How the kills fell."""

    backlogs: list[int] = field(default_factory=list)
    written_not_committed: int = 0
    archived_not_committed: int = 0
    archive_kills: int = 0


class FaultyRun:
    """Both stages at work on a stream that is fed as they go, and the faults that come at their marks."""

    def __init__(self, settings: StreamingSettings, topic_id: str, messages: Sequence[Message]) -> None:
        self.settings = settings
        self.total = len(messages)
        self.tally = Tally()
        self.progress = Progress(settings, topic_id)
        self.feeder = Feeder(settings, messages)
        self._rng = random.Random(SEED)

    def run(self, stages: Sequence[Process], consumer_marks: list[Mark], archive_marks: list[Mark]) -> None:
        """Returns once all faults have come and both groups have committed all messages."""
        deadline = time.monotonic() + LIMIT_SECONDS
        look_at_archive = 0.0
        while consumer_marks or archive_marks or not self.feeder.is_done:
            stored = sum(self.progress.stored())
            self.feeder.feed(stored + AHEAD)
            _fire(consumer_marks, stored)
            if (now := time.monotonic()) > look_at_archive:
                _fire(archive_marks, sum(self.progress.archived()))
                look_at_archive = now + 0.05
            for each in stages:
                each.check()
            assert now < deadline, f"{stored} of {self.total} done, {len(consumer_marks)} faults to come"
            time.sleep(0.002)
        self.feeder.flush()

    def kill_consumer(self, consumer: Process) -> None:
        """At any point of a batch."""
        time.sleep(self._rng.uniform(0, 0.05))
        consumer.kill()
        stored, committed = self.progress.stored(), self.progress.committed(self.settings.consumer_group)
        assert all(done <= kept for done, kept in zip(committed, stored, strict=True)), "committed before written"
        self.tally.backlogs.append(self.feeder.sent - sum(committed))
        self.tally.written_not_committed += stored != committed
        consumer.start()

    def kill_archive(self, archive: Process) -> None:
        """Every other time in the middle of a flush."""
        if self.tally.archive_kills % 2 and not self.feeder.is_done:
            before = self.progress.archived()
            self.feeder.feed_all(self.feeder.sent + MORE)  # else nothing may be left to write, and nothing comes
            wait_until("a new file", lambda: self.progress.archived() != before, [archive])
        time.sleep(self._rng.uniform(0, 0.02))
        archive.kill()
        archived, committed = self.progress.archived(), self.progress.committed(self.settings.archive_group)
        self.tally.archive_kills += 1
        self.tally.archived_not_committed += archived != committed
        archive.start()

    def stop_redis(self, store: Server, consumer: Process) -> None:
        """For two seconds; in the middle of them the consumer dies as well."""
        group = self.settings.consumer_group
        assert store.stop() == 0
        time.sleep(0.7)
        committed = self.progress.committed(group)
        self.feeder.feed_all(self.feeder.sent + 1000)
        consumer.kill()
        consumer.start()
        time.sleep(1.3)
        assert self.progress.committed(group) == committed, "committed while the store was away"
        consumer.check()
        store.start()

    def restart_broker(self, broker: Server, stages: Sequence[Process]) -> None:
        """As an upgrade does. A stage that is just starting would give up, and has nothing to lose."""
        for each in stages:
            wait_until("consuming", lambda each=each: "partitions assigned: " in each.log_text(), [each])
        self.feeder.close()
        broker.stop()
        broker.start()
        self.feeder.open()

    def close(self) -> None:
        """Give connections back."""
        self.feeder.close()
        self.progress.close()


@pytest.mark.timeout(1800)
def test_nothing_is_lost_or_repeated_whatever_dies(broker: Server, definitions: Path, tmp_path: Path) -> None:
    messages = planted_stream(SEED, EVENTS, POISON)
    with redis_server(tmp_path / "store") as store, redis_server(tmp_path / "clean_store") as clean_store:
        faulty = stage_settings(
            broker, store, definitions, "faulty", consumer_batch_size=500, consumer_instance_id="faulty-0"
        )
        clean = stage_settings(broker, clean_store, definitions, "clean")
        topic_id = ensure_topics(faulty)[faulty.events_topic]
        for settings in (faulty, clean):
            write_catalogue(settings)
        archive = faulty.model_copy(update={"archive_path": tmp_path / "archive", "archive_flush_seconds": 0.5})
        clean_archive = clean.model_copy(update={"archive_path": tmp_path / "clean_archive"})
        with closing(FaultyRun(archive, topic_id, messages)) as run:
            _run_with_faults(run, faulty, archive, broker, store, tmp_path)
        _print_tally(run.tally)
        _run_clean(clean, clean_archive, topic_id, ends_of(messages), tmp_path)

        expected = expected_store(messages, topic_id)
        assert_same(dump(clean), expected)
        assert_same(dump(faulty), expected)
        _assert_archive(tmp_path / "archive", tmp_path / "clean_archive", messages)
        _assert_dead_letters(faulty, messages)
        assert len(run.tally.backlogs) == CONSUMER_KILLS
        assert min(run.tally.backlogs) > 0
        assert run.tally.written_not_committed > 0, "no kill fell between a write and its commit: choose another SEED"


def _run_with_faults(
    run: FaultyRun, faulty: StreamingSettings, archive: StreamingSettings, broker: Server, store: Server, tmp_path: Path
) -> None:
    rng = random.Random(SEED)
    with (
        stage("consumer", faulty, tmp_path / "consumer.log") as consumer,
        stage("archive", archive, tmp_path / "archive.log") as archiver,
    ):
        marks: list[Mark] = [
            *((mark, lambda: run.kill_consumer(consumer)) for mark in _spread(rng, CONSUMER_KILLS, run.total)),
            *((mark, lambda: run.stop_redis(store, consumer)) for mark in _spread(rng, 2, run.total)),
            *((mark, lambda: run.restart_broker(broker, [consumer, archiver])) for mark in _spread(rng, 1, run.total)),
        ]
        archive_marks: list[Mark] = [
            (mark, lambda: run.kill_archive(archiver)) for mark in _spread(rng, ARCHIVE_KILLS, run.total)
        ]
        run.run([consumer, archiver], sorted(marks, key=lambda mark: mark[0]), archive_marks)
        _await_end(run.progress, archive, [consumer, archiver])
        assert [archiver.stop(), consumer.stop()] == [0, 0]


def _spread(rng: random.Random, count: int, total: int) -> list[int]:
    """Random numbers below `total`, one in each of `count` equal parts, the last well before the end."""
    return [int(0.96 * total * (number + rng.uniform(0.1, 0.9)) / count) for number in range(count)]


def _fire(marks: list[Mark], done: int) -> None:
    if marks and done >= marks[0][0]:
        marks.pop(0)[1]()


def _run_clean(
    settings: StreamingSettings, archive: StreamingSettings, topic_id: str, ends: list[int], tmp_path: Path
) -> None:
    with ExitStack() as stack:
        stages = [
            stack.enter_context(stage("consumer", settings, tmp_path / "clean_consumer.log")),
            stack.enter_context(stage("archive", archive, tmp_path / "clean_archive.log")),
        ]
        progress = stack.enter_context(closing(Progress(settings, topic_id)))
        assert progress.ends() == ends
        _await_end(progress, settings, stages)
        assert [each.stop() for each in stages] == [0, 0]


def _await_end(progress: Progress, settings: StreamingSettings, stages: Sequence[Process]) -> None:
    ends = progress.ends()
    for group in (settings.consumer_group, settings.archive_group):
        wait_until(f"{group} at {ends}", lambda group=group: progress.committed(group) == ends, stages)


def _assert_archive(folder: Path, clean_folder: Path, messages: Sequence[Message]) -> None:
    expected = pa.concat_tables(_expected_archive(messages))
    for each in (clean_folder, folder):
        found = _archive_rows(each)
        places = set(zip(found["kafka_partition"].to_pylist(), found["kafka_offset"].to_pylist(), strict=True))
        assert (found.num_rows, len(places)) == (expected.num_rows, expected.num_rows), "rows, places of rows"
        assert found.equals(expected), "some row is not what was sent"
    assert not list(folder.rglob("*.tmp")), "what killed writers had begun still lies there"


def _expected_archive(messages: Sequence[Message]) -> Iterator[pa.Table]:
    placed = with_offsets(messages)
    for partition in range(PARTITIONS):
        pairs = [(offset, each.event) for of, offset, each in placed if of == partition and each.event]
        yield events_to_table([event for _, event in pairs], [offset for offset, _ in pairs], partition)


def _archive_rows(folder: Path) -> pa.Table:
    """All rows of all files as they are, by partition and offset."""
    table = pa.concat_tables(pq.ParquetFile(path).read() for path in sorted(folder.rglob("*.parquet")))
    return table.sort_by([("kafka_partition", "ascending"), ("kafka_offset", "ascending")]).combine_chunks()


def _assert_dead_letters(settings: StreamingSettings, messages: Sequence[Message]) -> None:
    expected = {
        (settings.events_topic, partition, offset, each.reason, each.key, each.value, each.headers)
        for partition, offset, each in with_offsets(messages)
        if each.event is None
    }
    found = {
        (each.source_topic, each.source_partition, each.source_offset, each.reason, each.key, each.value, each.headers)
        for each in letters(settings)
    }
    assert len(expected) == POISON
    assert found == expected


def _print_tally(tally: Tally) -> None:
    print(
        f"\n{len(tally.backlogs)} kills of the consumer, {tally.written_not_committed} of them between a write and its "
        f"commit, with {min(tally.backlogs)} to {max(tally.backlogs)} messages to come; {tally.archive_kills} kills of "
        f"the archive, {tally.archived_not_committed} between a file and its commit"
    )
