"""From one click in Kafka to another order in the gateway's answer, every part real and in a process of its own."""

import os
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest
from kafka import KafkaProducer

from feature_repo.schema import EVENTS_TOPIC, Event, EventType
from nextclick.stack.addresses import Addresses
from nextclick.stack.ports import choose_ports
from serving.proto.recommender_pb2 import RecommendRequest, RecommendResponse
from serving.proto.recommender_pb2_grpc import RecommenderStub
from streaming.events.parser import event_to_json
from tests.support.planted_sessions import planted_settings
from tests.support.programs import Process
from tests.support.waiting import LIMIT_SECONDS
from training.export.ensemble import export
from training.export.triton_load import load


@pytest.fixture(scope="module")
def environment(stack: Addresses, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """A model of planted sessions is served; what processes need to find it, and a consumer group of this module."""
    settings = planted_settings(tmp_path_factory)
    exported = export(settings.model_copy(update={"model_repository": stack.model_repository}))
    load(stack.triton_grpc_url, exported.version)
    return os.environ | stack.variables() | {"CONSUMER_GROUP": f"e2e-{uuid.uuid4().hex[:8]}"}


def running(environment: dict[str, str], log: Path, *verb: str) -> Iterator[None]:
    with Process([sys.executable, "-m", "nextclick", *verb], log, environment) as process:
        yield
        process.check()
        process.stop()


@pytest.fixture(scope="module")
def consumer(environment: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    yield from running(environment, tmp_path_factory.mktemp("stream") / "log", "stream")


@pytest.fixture(scope="module")
def gateway_address(environment: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("gateway")
    ports = choose_ports(folder / "ports.json", ["grpc", "metrics"])
    arguments = ("serve", "--port", str(ports["grpc"]), "--metrics-port", str(ports["metrics"]))
    for _ in running(environment, folder / "log", *arguments):
        yield f"127.0.0.1:{ports['grpc']}"


@pytest.fixture(scope="module")
def gateway(gateway_address: str) -> Iterator[RecommenderStub]:
    with grpc.insecure_channel(gateway_address) as channel:
        grpc.channel_ready_future(channel).result(LIMIT_SECONDS)
        yield RecommenderStub(channel)


@pytest.fixture
def producer(stack: Addresses, consumer: None) -> Iterator[KafkaProducer]:
    producer = KafkaProducer(bootstrap_servers=stack.kafka_bootstrap_servers)
    yield producer
    producer.close()


def click(producer: KafkaProducer, session_id: str, step: int, item_id: str) -> str:
    event = Event(f"{session_id}-{step}", EventType.VIEW, session_id, item_id, time.time_ns() // 1_000_000)
    producer.send(EVENTS_TOPIC, key=session_id.encode(), value=event_to_json(event)).get(30)
    return event.event_id


def answer_that_saw(gateway: RecommenderStub, session_id: str, event_id: str) -> RecommendResponse:
    give_up = time.monotonic() + LIMIT_SECONDS
    while time.monotonic() < give_up:
        response = gateway.Recommend(RecommendRequest(session_id=session_id, page_size=5), timeout=10)
        if response.last_event_id == event_id:
            return response
        time.sleep(0.02)
    raise AssertionError(f"no answer has seen {event_id}")


def test_one_event_changes_the_order(gateway: RecommenderStub, producer: KafkaProducer) -> None:
    session_id = uuid.uuid4().hex
    click(producer, session_id, 1, "item-a")
    before = answer_that_saw(gateway, session_id, click(producer, session_id, 2, "item-b"))
    after = answer_that_saw(gateway, session_id, click(producer, session_id, 3, "item-d"))
    assert not before.degraded_reason
    assert not after.degraded_reason
    # On the ring of planted sessions a, b goes on with c, and b, d with f.
    assert before.items[0].item_id == "item-c"
    assert after.items[0].item_id == "item-f"
    assert [item.item_id for item in before.items] != [item.item_id for item in after.items]


def test_the_command_line_asks_the_same_gateway(
    gateway: RecommenderStub, gateway_address: str, environment: dict[str, str], tmp_path: Path
) -> None:
    command = [sys.executable, "-m", "nextclick", "recommend", "--session-id", uuid.uuid4().hex, "--gateway"]
    events = ["--event", "view:item-a", "--event", "item-c", "--json", "-"]
    done = subprocess.run([*command, gateway_address, *events], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert '"item_id": "item-e"' in done.stdout.split("position")[0]


def test_a_refused_request_is_one_line_and_exit_code_1(gateway_address: str, environment: dict[str, str]) -> None:
    command = [sys.executable, "-m", "nextclick", "recommend", "--session-id", "s", "--page-size", "1000", "--gateway"]
    done = subprocess.run([*command, gateway_address], env=environment, capture_output=True, text=True)
    assert done.returncode == 1
    assert "INVALID_ARGUMENT: page_size" in done.stderr
    assert "Traceback" not in done.stderr
