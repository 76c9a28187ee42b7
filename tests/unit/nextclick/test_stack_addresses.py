import os
from pathlib import Path

import pytest

from nextclick.stack import home as files
from nextclick.stack.addresses import apply_to_environment, find_addresses
from nextclick.stack.errors import StackError
from nextclick.stack.lifecycle import print_env, status
from nextclick.stack.processes import identity

VARIABLES = ("KAFKA_BOOTSTRAP_SERVERS", "REDIS_URL", "TRITON_GRPC_URL", "TRITON_HTTP_URL")


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in VARIABLES:
        # Set first, so that what a test sets is undone even where nothing was set before.
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    monkeypatch.setenv("NEXTCLICK_HOME", str(tmp_path))
    return tmp_path


def _write(home: Path, *, supervisor: int | None = None, known: str | None = None, state: str = "ready") -> None:
    pid = supervisor or os.getpid()
    service = {"state": state, "variables": {"REDIS_URL": "redis://127.0.0.1:7001/0"}}
    state_of_all = {"supervisor": {"pid": pid, "identity": known or identity(pid)}, "services": {"redis": service}}
    files.write_state(home, state_of_all)


def test_what_a_running_stack_left_completes_the_environment(home: Path) -> None:
    _write(home)
    os.environ["KAFKA_BOOTSTRAP_SERVERS"] = "broker:9092"
    addresses = apply_to_environment(require=["REDIS_URL", "KAFKA_BOOTSTRAP_SERVERS"])
    assert os.environ["REDIS_URL"] == addresses.redis_url == "redis://127.0.0.1:7001/0"
    assert os.environ["KAFKA_BOOTSTRAP_SERVERS"] == addresses.kafka_bootstrap_servers == "broker:9092"


def test_the_environment_wins(home: Path) -> None:
    _write(home)
    os.environ["REDIS_URL"] = "redis://:secret@elsewhere:6379/2"
    addresses = apply_to_environment()
    assert addresses.redis_url == os.environ["REDIS_URL"] == "redis://:secret@elsewhere:6379/2"
    assert "secret" not in repr(addresses)


@pytest.mark.parametrize("left", [{"known": "another process"}, {"supervisor": 2**22 + 1}, {"state": "starting"}])
def test_a_dead_supervisor_and_a_part_not_ready_count_as_no_stack(home: Path, left: dict[str, object]) -> None:
    _write(home, **left)  # type: ignore[arg-type]
    with pytest.raises(StackError, match=r"no stack is running: run `nextclick up`, or set REDIS_URL$"):
        apply_to_environment(require=["REDIS_URL"])
    assert "REDIS_URL" not in os.environ


def test_an_unreadable_state_says_what_to_do(home: Path) -> None:
    (home / "stack.json").write_text("{")
    with pytest.raises(StackError, match="nextclick down"):
        find_addresses()


def test_lines_for_a_shell_are_quoted(home: Path) -> None:
    os.environ["REDIS_URL"] = "redis://:pa$s'word@host:6379/0"
    assert """export REDIS_URL='redis://:pa$s'"'"'word@host:6379/0'""" in print_env()
    assert f"export NEXTCLICK_HOME={home}" in print_env()


def test_status_shows_what_is_not_running_and_hides_passwords(home: Path) -> None:
    os.environ["REDIS_URL"] = "redis://:secret@127.0.0.1:1/0"
    rows = {row.name: row for row in status()}
    assert rows["kafka"].state == rows["triton"].state == "not running"
    assert rows["redis"].state == "external, does not answer"
    assert "secret" not in rows["redis"].address
