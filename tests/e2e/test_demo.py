"""The demo as a newcomer runs it, on small planted data, on a stack that it starts and ends by itself."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from nextclick.stack.addresses import running_variables
from nextclick.stack.leftovers import remaining
from streaming.catalogue.topic import read_catalogue
from streaming.settings import StreamingSettings
from tests.support.planted_sessions import planted_events
from tests.support.programs import Process
from tests.support.stored_rows import StoredRows
from tests.support.waiting import wait_until


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
        assert_the_catalogue_came_over_kafka(home)
    subprocess.run([sys.executable, "-m", "nextclick", "down"], env=environment, check=True)
    assert not remaining(home)


def assert_the_catalogue_came_over_kafka(home: Path) -> None:
    variables = running_variables(home)
    settings = StreamingSettings(
        nextclick_home=home,
        kafka_bootstrap_servers=variables["KAFKA_BOOTSTRAP_SERVERS"],
        redis_url=variables["REDIS_URL"],
    )
    item_ids = set(pq.read_table(home / "demo" / "items.parquet")["item_id"].to_pylist())
    sent, invalid = read_catalogue(settings)
    assert (item_ids, invalid) == ({item.item_id for item in sent}, 0)
    with closing(StoredRows(settings)) as rows:
        assert rows.read_items(item_ids) == {item.item_id: item for item in sent}


@pytest.mark.parametrize(("step", "number"), [("stream", signal.SIGINT), ("train", signal.SIGKILL)])
def test_an_interrupted_demo_leaves_nothing_running(
    data: Path, environment: dict[str, str], tmp_path: Path, step: str, number: signal.Signals
) -> None:
    home = Path(environment["NEXTCLICK_HOME"])
    reached = {"stream": home / "logs" / "stream.log", "train": home / "demo" / "runs"}[step]
    with Process(command(data), tmp_path / "demo.log", environment) as demo:
        wait_until(f"the step {step}", reached.exists, [demo])
        assert remaining(home)
        demo.signal(number)
        demo.wait()
        wait_until("nothing to run any more", lambda: not remaining(home))


def _names(result: dict[str, dict[str, object]]) -> list[str]:
    names = list(result["accuracy"])
    return ["nextclick", *(name for name in names if name != "nextclick")]
