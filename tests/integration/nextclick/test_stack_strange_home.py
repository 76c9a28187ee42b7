"""The whole stack in a folder whose name has what properties files, shells, URLs and class paths read as theirs."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis
from kafka import KafkaAdminClient
from kafka.admin import NewTopic

from nextclick.stack.addresses import find_addresses
from nextclick.stack.settings import StackSettings
from tests.support.planted_ensemble import PlantedEnsemble

STRANGE = 'é\\u0041\\ #1 100%25 it\'s "$(exit 7)"; & {x} [b]!? a=b,c:d '
ADDRESSES = ("KAFKA_BOOTSTRAP_SERVERS", "REDIS_URL", "TRITON_GRPC_URL", "TRITON_HTTP_URL", "MODEL_REPOSITORY")


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    home = tmp_path / STRANGE / STRANGE
    monkeypatch.setenv("NEXTCLICK_HOME", str(home))
    for name in ADDRESSES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("MODEL_REPOSITORY", str(home / "model_repository"))
    monkeypatch.setenv("LC_ALL", "C")
    yield home
    nextclick("down")


def nextclick(*arguments: str) -> str:
    """Its standard output; fails with all that it printed."""
    done = subprocess.run([sys.executable, "-m", "nextclick", *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_a_home_of_any_name_holds_the_whole_stack(home: Path) -> None:
    for _ in range(2):  # the second time on the data of the first
        nextclick("up")
        addresses = find_addresses(StackSettings())
        admin = KafkaAdminClient(bootstrap_servers=addresses.kafka_bootstrap_servers)
        if "kept" not in admin.list_topics():
            admin.create_topics([NewTopic("kept", 1, 1)])
        admin.close()
        with redis.Redis.from_url(addresses.redis_url) as client:
            assert client.incr("kept")
            assert client.config_get("dir") == {"dir": str(home / "redis")}
        PlantedEnsemble(addresses).export()
        assert json.loads(nextclick("status", "--json", "-"))["kafka"]["log"] == str(home / "logs" / "kafka.log")
        assert "triton" in nextclick("down")
    assert {path.name for path in home.iterdir()} >= {"kafka", "redis", "triton", "registry.db", "model_repository"}
    assert (home / "kafka" / "data" / "kept-0").is_dir()
    assert [path.name for path in home.parent.iterdir()] == [STRANGE]
