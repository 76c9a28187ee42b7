"""The demo as a newcomer runs it, on small planted data, on a stack that it starts and ends by itself."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from nextclick.stack.leftovers import remaining
from tests.support.planted_sessions import planted_events

GONE_WITHIN_S = 60


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Planted sessions in the format of the serenade set."""
    path = tmp_path / "train.txt"
    rows = [f"{event.session_id}\t{event.item_id}\t{event.timestamp_ms / 1000}" for event in planted_events()]
    path.write_text("\n".join(["SessionId\tItemId\tTime", *rows]) + "\n")
    return path


@pytest.fixture
def environment(tmp_path: Path) -> Iterator[dict[str, str]]:
    """A home of the test's own, so that the stack in it is too; whatever is left there in the end is ended."""
    home = tmp_path / "home"
    unset = ("KAFKA_BOOTSTRAP_SERVERS", "REDIS_URL", "TRITON_GRPC_URL", "TRITON_HTTP_URL")
    environment = {name: value for name, value in os.environ.items() if name not in unset}
    environment |= {"NEXTCLICK_HOME": str(home), "MODEL_REPOSITORY": str(home / "models")}
    yield environment
    subprocess.run([sys.executable, "-m", "nextclick", "down"], env=environment, check=True, stdout=subprocess.DEVNULL)


def command(data: Path, *more: str) -> list[str]:
    arguments = ["--dataset", "serenade", "--path", str(data), "--recipe", "tiny", "--replay-events", "60", *more]
    return [sys.executable, "-m", "nextclick", "demo", *arguments]


def wait_until_nothing_is_left(home: Path) -> None:
    give_up = time.monotonic() + GONE_WITHIN_S
    while left := remaining(home):
        assert time.monotonic() < give_up, f"still running: {left}"
        time.sleep(0.1)


@pytest.mark.timeout(1800)
def test_the_demo_measures_what_came_over_the_wire_and_down_ends_all(
    data: Path, environment: dict[str, str], tmp_path: Path
) -> None:
    home = Path(environment["NEXTCLICK_HOME"])
    numbers = tmp_path / "demo.json"
    for _ in range(2):  # the second run meets the first one's stack, topics and sessions
        done = subprocess.run(command(data, "--json", str(numbers)), env=environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
        result = json.loads(numbers.read_text())
        assert result["errors"] == result["degraded"] == result["not_fresh"] == 0
        # A walk's first step is not certain yet, every other one is.
        model, *baselines = (result["accuracy"][name]["ndcg_at_10"] for name in _names(result))
        assert model > max(baselines)
        assert "grpcurl -plaintext" in done.stdout
    subprocess.run([sys.executable, "-m", "nextclick", "down"], env=environment, check=True)
    assert not remaining(home)


@pytest.mark.parametrize(("step", "number"), [("stream", signal.SIGINT), ("train", signal.SIGKILL)])
def test_an_interrupted_demo_leaves_nothing_running(
    data: Path, environment: dict[str, str], step: str, number: signal.Signals
) -> None:
    home = Path(environment["NEXTCLICK_HOME"])
    process = subprocess.Popen(command(data), env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    reached = {"stream": home / "logs" / "stream.log", "train": home / "demo" / "runs"}[step]
    while not reached.exists():
        assert process.poll() is None, "the demo ended by itself"
        time.sleep(0.05)
    assert remaining(home)
    process.send_signal(number)
    process.wait(60)
    wait_until_nothing_is_left(home)


def _names(result: dict[str, dict[str, object]]) -> list[str]:
    names = list(result["accuracy"])
    return ["nextclick", *(name for name in names if name != "nextclick")]
