"""`nextclick bench ingest` as a person runs it, small: its numbers, and that it leaves nothing behind."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil
import pytest
import redis
from kafka import KafkaAdminClient

from nextclick.bench.errors import BenchError
from nextclick.bench.kafka_names import PREFIX
from nextclick.bench.redis_database import MARK, claim_database, with_database
from nextclick.stack.addresses import Addresses
from streaming.settings import StreamingSettings
from tests.support.waiting import LIMIT_SECONDS, wait_until

KEYS = {
    "events_per_s",
    "events_per_s_all_views",
    "bare_kafka_events_per_s",
    "bare_redis_events_per_s",
    "feast_push_events_per_s",
    "freshness_ms",
    "two_process_ratio",
    "two_process_ratio_all_views",
    "two_process_ratio_limit",
    "two_process_ratio_limit_all_views",
    "cost_by_session_length",
    "rss_mb_start",
    "rss_mb_end",
    "machine",
    "versions",
    "events",
    "dataset",
    "settings",
    "spreads",
    "details",
    "figures",
}
SMALL = ("--events", "3000", "--sample", "2500", "--repeats", "1", "--length-events", "1000", "--push-events", "500")
PACED = ("--rate", "500", "--seconds", "2")


class Servers:
    """What benchmarks hold on the stack's servers."""

    def __init__(self, stack: Addresses) -> None:
        self._stack = stack
        self._before = self._topics_and_groups()
        self._databases = self._claimed()

    def database(self) -> int | None:
        """The Redis database that a benchmark has claimed since the start, if any."""
        return next(iter(self._claimed() - self._databases), None)

    def check_left_as_found(self, database: int) -> None:
        """Fail if a topic, a group or a row is left."""
        assert self._topics_and_groups() == self._before
        with redis.Redis.from_url(with_database(self._stack.redis_url, database)) as client:
            assert client.dbsize() == 0

    def _topics_and_groups(self) -> tuple[set[str], set[str]]:
        admin = KafkaAdminClient(bootstrap_servers=self._stack.kafka_bootstrap_servers)
        try:
            groups = {group["group_id"] for group in admin.list_groups()}
            topics = set(admin.list_topics())
        finally:
            admin.close()
        return {name for name in topics if PREFIX in name}, {name for name in groups if PREFIX in name}

    def _claimed(self) -> set[int]:
        claimed = set()
        for number in range(16):
            with redis.Redis.from_url(with_database(self._stack.redis_url, number)) as client:
                if client.exists(MARK):
                    claimed.add(number)
        return claimed


@contextmanager
def _bench(stack: Addresses, folder: Path, *arguments: str) -> "Iterator[subprocess.Popen[bytes]]":
    """A small run, its output in `folder`; afterwards its temporary files and whatever it kept on servers is gone."""
    temporary = folder / "temporary"
    temporary.mkdir()
    servers = Servers(stack)
    with (folder / "output").open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "nextclick", "bench", "ingest", *SMALL, *PACED, *arguments],
            env={**os.environ, **stack.variables(), "TMPDIR": str(temporary), "COLUMNS": "160"},
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        wait_until("a Redis database to be claimed", lambda: servers.database() is not None)
        database = servers.database()
        yield process
    finally:
        process.kill()
        process.wait()
    assert database is not None
    servers.check_left_as_found(database)
    assert list(temporary.iterdir()) == []


def test_measures_everything_and_cleans_up(stack: Addresses, tmp_path: Path) -> None:
    json_file, picture = tmp_path / "ingest.json", tmp_path / "ingest.svg"
    with _bench(stack, tmp_path, "--json", str(json_file), "--plot", str(picture)) as process:
        assert process.wait(LIMIT_SECONDS) == 0, (tmp_path / "output").read_text()
    result = json.loads(json_file.read_text())
    assert set(result) == KEYS
    assert result["events"] == 3000
    assert result["details"]["rejected_events"] == 0
    for name in KEYS:
        if name.endswith("_per_s"):
            assert result[name] > 0, name
    # What does less is faster, by far.
    assert result["bare_kafka_events_per_s"] > result["events_per_s"]
    fresh = result["freshness_ms"]
    assert 0 < fresh["p50"] <= fresh["p90"] <= fresh["p99"]
    assert result["details"]["freshness"]["watched_events"] == 2 * 50
    assert set(result["cost_by_session_length"]) == {"5", "50", "500", "ratio"}
    assert result["rss_mb_start"] > 20
    assert picture.read_text().count("events/s") >= 1
    assert "FeatureStore.push" in (tmp_path / "output").read_text()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_half_way_leaves_nothing(stack: Addresses, tmp_path: Path, number: signal.Signals) -> None:
    with _bench(stack, tmp_path) as process:
        bench = psutil.Process(process.pid)
        wait_until("a consumer of the benchmark", lambda: _consumers(bench) != [])
        descendants = bench.children(recursive=True)
        process.send_signal(number)
        assert process.wait(LIMIT_SECONDS) == 130, (tmp_path / "output").read_text()
    assert not [child for child in descendants if child.is_running() and child.status() != psutil.STATUS_ZOMBIE]


def _consumers(bench: psutil.Process) -> list[psutil.Process]:
    found = []
    for child in bench.children():
        with suppress(psutil.NoSuchProcess):  # or a zombie
            if child.cmdline()[-2:] == ["streaming", "consumer"]:
                found.append(child)
    return found


def test_database_is_never_the_users_nor_one_in_use(stack: Addresses) -> None:
    settings = StreamingSettings(nextclick_home=stack.home, redis_url=stack.redis_url)
    first, second = claim_database(settings), claim_database(settings)
    try:
        assert len({first.url, second.url, stack.redis_url}) == 3
        first.client.set("row", "1")
        assert first.rows() == 1
        first.flush()
        assert first.rows() == 0
        assert second.client.exists(MARK)
    finally:
        first.release()
        second.release()


def test_database_that_lost_its_mark_is_not_flushed(stack: Addresses) -> None:
    database = claim_database(StreamingSettings(nextclick_home=stack.home, redis_url=stack.redis_url))
    database.client.set("row", "of somebody else")
    database.client.delete(MARK)
    with pytest.raises(BenchError, match="not flushed"):
        database.flush()
    with redis.Redis.from_url(database.url) as client:
        assert client.get("row") == b"of somebody else"
        client.delete("row")
    database.client.close()
