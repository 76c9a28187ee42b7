"""What the stack starts ends when it should, and only then. Mostly with Redis alone, which starts at once."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from pathlib import Path

import onnx
import pytest
import redis
import tritonclient.grpc as triton
from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer
from kafka.admin import NewTopic
from onnx import TensorProto, helper

from feature_repo.schema import ENSEMBLE
from nextclick.stack import home as files
from nextclick.stack import lifecycle as local
from nextclick.stack.client import SupervisorClient
from nextclick.stack.errors import NotReadyError, StackError
from nextclick.stack.leftovers import remaining
from nextclick.stack.readiness import wait_for_service
from nextclick.stack.services import APPLICATIONS_TIER, SERVERS_TIER, ServiceSpec
from nextclick.stack.triton import shared_memory
from tests.support.waiting import wait_until

Hold = Callable[..., "subprocess.Popen[str]"]

HOLD = """
import time
from nextclick.stack import lifecycle as local
with local.up({parts}) as stack:
    print("up", flush=True)
    time.sleep(600)
"""
HOLD_AND_FORK = HOLD.replace("    print", "    import os\n    if os.fork():\n        print")


def _use(home: Path, patch: pytest.MonkeyPatch) -> Path:
    home.mkdir(parents=True)
    patch.setenv("NEXTCLICK_HOME", str(home))
    patch.setenv("MODEL_REPOSITORY", str(home / "model_repository"))
    for name in ("KAFKA_BOOTSTRAP_SERVERS", "REDIS_URL", "TRITON_GRPC_URL", "TRITON_HTTP_URL"):
        patch.delenv(name, raising=False)
    return home


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A home so deep that the path of a socket in it is longer than Linux allows."""
    home = _use(tmp_path / ("deep" * 20) / ("er" * 20), monkeypatch)
    yield home
    monkeypatch.setenv("NEXTCLICK_HOME", str(home))
    local.down()


@pytest.fixture
def hold() -> Iterator[Hold]:
    """Starts a process that holds a stack; none outlives its test."""
    with ExitStack() as ended:

        def start(code: str = HOLD, parts: str = "['redis']") -> "subprocess.Popen[str]":
            argv = [sys.executable, "-c", code.format(parts=parts)]
            holder = subprocess.Popen(argv, stdout=subprocess.PIPE, text=True, start_new_session=True)
            ended.callback(_end, holder, signal.SIGKILL)
            return holder

        yield start


def _eventually(condition: Callable[[], bool]) -> None:
    wait_until("what this line of the test asks for", condition)


def _nothing_left(home: Path) -> bool:
    return not remaining(home) and not _commands(home) and files.read_state(home) is None


def _end(holder: "subprocess.Popen[str]", number: int) -> None:
    with suppress(ProcessLookupError):
        os.killpg(holder.pid, number)
    holder.wait(timeout=60)
    assert holder.stdout
    holder.stdout.close()


def _await_up(holder: "subprocess.Popen[str]") -> None:
    assert holder.stdout
    assert holder.stdout.readline() == "up\n"


def _export_identity(folder: Path) -> None:
    """A model that answers its input, named as the ensemble is."""
    (folder / "1").mkdir(parents=True)
    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, ["B", 1]) for name in "xy")
    graph = helper.make_graph([helper.make_node("Identity", ["x"], ["y"])], "identity", [x], [y])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.save(model, folder / "1" / "model.onnx")
    (folder / "config.pbtxt").write_text(
        'backend: "onnxruntime" max_batch_size: 4 input { name: "x" data_type: TYPE_FP32 dims: [1] } '
        'output { name: "y" data_type: TYPE_FP32 dims: [1] }'
    )


def _commands(home: Path) -> list[str]:
    """Command lines of processes that work in this home, or name it."""
    commands = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):
            command = path.read_text(errors="replace")
            if str(home) in command or path.with_name("cwd").readlink().is_relative_to(home):
                commands.append(command)
    return commands


def _never_ready(address: str) -> None:
    raise NotReadyError("never")


def _sleeper(home: Path, name: str, code: str = "exec sleep 600", tier: int = APPLICATIONS_TIER) -> ServiceSpec:
    return ServiceSpec(name, ("sh", "-c", code), home, files.log_path(home, name), tier=tier, stop_seconds=1)


# --- up and down ------------------------------------------------------------------------------------------------------


def test_kept_servers_outlive_their_process_until_down_and_keep_their_data(home: Path) -> None:
    with local.up(["redis"]) as stack:
        stack.keep()
    address = stack.addresses.redis_url
    with redis.Redis.from_url(address) as client:
        client.set("key", "value")
    assert {row.name: row.state for row in local.status()} == {
        "kafka": "not running",
        "redis": "ready",
        "triton": "not running",
    }
    assert local.down() == ["redis"]
    assert _nothing_left(home)
    with local.up(["redis"]) as stack, redis.Redis.from_url(stack.addresses.redis_url) as client:
        assert client.get("key") == b"value"
        assert stack.addresses.redis_url == address
    assert not remaining(home)
    _eventually(lambda: _nothing_left(home))
    assert local.down() == []


def test_servers_end_with_the_last_who_holds_them(home: Path) -> None:
    with local.up(["redis"]) as first, local.up(["redis"]) as second:
        assert second.addresses == first.addresses
        pid = next(row.pid for row in local.status() if row.name == "redis")
        first.close()
        assert [row.pid for row in local.status() if row.name == "redis"] == [pid]
    assert not remaining(home)


def test_those_who_start_at_once_share_the_servers(home: Path) -> None:
    with ThreadPoolExecutor(3) as pool:
        stacks = list(pool.map(lambda _: local.up(["redis"]), range(3)))
    assert len({stack.addresses.redis_url for stack in stacks}) == 1
    assert len(remaining(home)) == 1
    for stack in stacks:
        stack.close()
    assert not remaining(home)


def test_two_homes_run_side_by_side(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with local.up(["redis"]) as first:
        other = _use(tmp_path / "other", monkeypatch)
        with local.up(["redis"]) as second:
            assert second.addresses.redis_url != first.addresses.redis_url
            assert local.down() == ["redis"]
            assert _nothing_left(other)
        with redis.Redis.from_url(first.addresses.redis_url) as client:
            assert client.ping()


def test_down_ends_the_servers_though_the_state_is_damaged(home: Path) -> None:
    with local.up(["redis"]) as stack:
        stack.keep()
    (home / "stack.json").write_text("{")
    assert local.down() == ["redis"]
    _eventually(lambda: _nothing_left(home))


def test_down_without_a_stack_does_nothing(home: Path) -> None:
    assert local.down() == []


def test_kafka_keeps_its_messages_when_it_comes_back_on_another_port(home: Path) -> None:
    with local.up(["kafka"]) as stack:
        before = stack.addresses.kafka_bootstrap_servers
        admin = KafkaAdminClient(bootstrap_servers=before)
        admin.create_topics([NewTopic("kept", 1, 1)])
        admin.close()
        producer = KafkaProducer(bootstrap_servers=before)
        # A time of long ago, as replayed events have it.
        producer.send("kept", b"message", timestamp_ms=893_286_638_000).get(30)
        producer.close()
    port = int(before.rpartition(":")[2])
    with socket.create_server(("127.0.0.1", port)), local.up(["kafka"]) as stack:
        assert stack.addresses.kafka_bootstrap_servers != before
        consumer = KafkaConsumer(
            "kept",
            bootstrap_servers=stack.addresses.kafka_bootstrap_servers,
            auto_offset_reset="earliest",
            group_id="g",
        )
        received = next(consumer)
        consumer.close()
    assert (received.value, received.timestamp) == (b"message", 893_286_638_000)


def test_triton_loads_the_exported_ensemble_and_leaves_no_stub_and_no_shared_memory(home: Path) -> None:
    _export_identity(home / "model_repository" / ENSEMBLE)
    with local.up(["triton"]) as stack:
        with triton.InferenceServerClient(stack.addresses.triton_grpc_url) as client:
            assert client.is_model_ready(ENSEMBLE)
        assert len(remaining(home)) > 1
        assert list(shared_memory(home))
        state = files.read_state(home)
        assert state
        os.kill(state["supervisor"]["pid"], signal.SIGKILL)
    local.down()
    assert _nothing_left(home)
    assert not list(shared_memory(home))


# --- sudden ends ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM])
def test_servers_end_with_the_process_that_started_them(home: Path, hold: Hold, number: int) -> None:
    holder = hold()
    _await_up(holder)
    assert remaining(home)
    _end(holder, number)
    _eventually(lambda: _nothing_left(home))


def test_a_forked_child_of_a_killed_process_does_not_keep_its_servers(home: Path, hold: Hold) -> None:
    holder = hold(HOLD_AND_FORK)
    _await_up(holder)
    os.kill(holder.pid, signal.SIGKILL)
    holder.wait()
    _eventually(lambda: _nothing_left(home))


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_nothing_is_left_of_a_start_that_was_cut_off(home: Path, hold: Hold, number: int) -> None:
    holder = hold(parts="['kafka', 'redis', 'triton']")
    _eventually(lambda: len(remaining(home)) >= 2)
    assert "ready" not in {row.state for row in local.status() if row.name == "kafka"}
    _end(holder, number)
    _eventually(lambda: _nothing_left(home))


def test_what_prepares_a_server_ends_with_the_process_that_started_it(home: Path, hold: Hold) -> None:
    holder = hold(parts="['kafka']")
    _eventually(lambda: any("StorageTool" in command for command in _commands(home)))
    _end(holder, signal.SIGKILL)
    _eventually(lambda: not _commands(home))


def test_servers_die_with_a_killed_supervisor_and_the_next_start_is_clean(home: Path, hold: Hold) -> None:
    holder = hold()
    _await_up(holder)
    state = files.read_state(home)
    assert state
    os.kill(state["supervisor"]["pid"], signal.SIGKILL)
    _eventually(lambda: not remaining(home))
    assert {row.state for row in local.status()} == {"not running"}
    _end(holder, signal.SIGTERM)
    with local.up(["redis"]) as stack, redis.Redis.from_url(stack.addresses.redis_url) as client:
        assert client.ping()


def test_down_ends_what_a_killed_supervisor_has_left(home: Path) -> None:
    with SupervisorClient(home) as client:
        # A grandchild in a session of its own: the kernel ends the service with the supervisor, but not this one.
        client.start(_sleeper(home, "parent", "setsid sleep 600 & echo $!; wait"))
        _eventually(lambda: len(remaining(home)) >= 2)
        state = files.read_state(home)
        assert state
        os.kill(state["supervisor"]["pid"], signal.SIGKILL)
    _eventually(lambda: len(remaining(home)) == 1)
    assert len(local.down()) == 1
    assert _nothing_left(home)
    assert not (home / "stack.json").exists()


# --- services ---------------------------------------------------------------------------------------------------------


def test_a_service_that_ignores_sigterm_is_killed_with_its_children(home: Path) -> None:
    with SupervisorClient(home) as client:
        client.start(_sleeper(home, "deaf", "trap '' TERM; sleep 600 & sleep 600; sleep 600"))
        _eventually(lambda: len(remaining(home)) == 3)
        assert client.stop(["deaf"]) == ["deaf"]
        assert not remaining(home)


def test_applications_end_before_the_servers_they_use(home: Path) -> None:
    write = "trap 'sleep 0.2; date +%s%N; exit' TERM; echo started; while :; do sleep 0.05; done"
    with SupervisorClient(home) as client:
        for name, tier in (("server", SERVERS_TIER), ("application", APPLICATIONS_TIER)):
            client.start(_sleeper(home, name, write, tier))
            _eventually(lambda name=name: "started" in files.log_path(home, name).read_text())  # type: ignore[misc]
        assert client.shutdown() == ["application", "server"]
    ended = {name: int(files.log_path(home, name).read_text().split()[-1]) for name in ("server", "application")}
    assert ended["application"] + 200_000_000 <= ended["server"]


def test_a_service_that_fails_is_reported_with_the_end_of_its_log(home: Path) -> None:
    with SupervisorClient(home) as client:
        client.start(_sleeper(home, "broken", "echo no such topic; exit 3"))
        with pytest.raises(StackError, match=r"broken ended .*exit status 3") as failed:
            wait_for_service(client, "broken", _never_ready, 30)
        assert "no such topic" in failed.value.detail
        assert [row.state for row in local.status() if row.name == "broken"] == ["exited (3)"]
        assert client.start(_sleeper(home, "broken"))


def test_a_program_that_is_not_there_is_an_error_and_no_service(home: Path) -> None:
    with SupervisorClient(home) as client:
        with pytest.raises(StackError, match="no-such-program"):
            client.start(ServiceSpec("missing", ("no-such-program",), home, files.log_path(home, "missing")))
        assert client.status() == {}


def test_only_one_client_starts_a_service_of_a_name(home: Path) -> None:
    with SupervisorClient(home) as first, SupervisorClient(home) as second:
        assert first.start(_sleeper(home, "one"))
        assert not second.start(_sleeper(home, "one"))
        assert len(remaining(home)) == 1


def test_a_request_that_makes_no_sense_leaves_the_others_alone(home: Path) -> None:
    with SupervisorClient(home) as client:
        client.start(_sleeper(home, "one"))
        for line in (b"\n", b"[]\n", b'{"op": "no such"}\n', b'{"op": "stop", "x": 1}\n', b"\xff\xfe\n"):
            connection = files.connect(home)
            assert connection
            with connection:
                connection.sendall(line)
                assert b"error" in connection.recv(4096)
        assert client.status()["one"]["state"] == "starting"


# --- addresses of the environment -------------------------------------------------------------------------------------


def test_a_part_with_an_address_in_the_environment_is_checked_and_not_started(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with local.up(["redis"]) as elsewhere:
        _use(tmp_path / "other", monkeypatch)
        monkeypatch.setenv("REDIS_URL", elsewhere.addresses.redis_url)
        with local.up(["redis"]) as stack:
            assert stack.addresses.redis_url == elsewhere.addresses.redis_url
            assert stack.client.status() == {}
        assert {row.name: row.state for row in local.status()}["redis"] == "external"


def test_an_address_where_nobody_answers_is_an_error_naming_its_variable(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(local, "_CHECK_SECONDS", 0.1)
    for part, variable, address in [
        ("redis", "REDIS_URL", "redis://127.0.0.1:1/0"),
        ("kafka", "KAFKA_BOOTSTRAP_SERVERS", "127.0.0.1:1"),
        ("triton", "TRITON_GRPC_URL", "127.0.0.1:1"),
    ]:
        monkeypatch.setenv(variable, address)
        with pytest.raises(StackError, match=variable):
            local.up([part])


def test_a_part_of_another_name_is_refused(home: Path) -> None:
    with pytest.raises(StackError, match=r"unknown part tritn.*kafka, redis, triton"):
        local.up(["tritn"])
