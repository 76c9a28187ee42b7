"""The gateway as the process that a container runs: its start, its refusal to start, and its end under load."""

import asyncio
import os
import re
import signal
import sys
import time
import uuid
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlsplit

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from feature_repo.schema import Event, EventType
from feature_repo.session import fold
from serving.proto import recommender_pb2 as pb
from serving.proto.recommender_pb2_grpc import RecommenderStub
from serving.rpc.service import SERVICE_NAME
from serving.settings import ServingSettings
from tests.support.planted_ensemble import PlantedEnsemble
from tests.support.stored_rows import StoredRows

REDIS_DB = "/10"
CALLERS = 8


@pytest.fixture
def planted(stack: Any) -> Iterator[PlantedEnsemble]:
    planted = PlantedEnsemble(stack)
    yield planted
    planted.close()


@pytest.fixture
def environment(stack: Any, planted: PlantedEnsemble) -> dict[str, str]:
    return os.environ | {
        "REDIS_URL": urlsplit(stack.redis_url)._replace(path=REDIS_DB).geturl(),
        "TRITON_GRPC_URL": stack.triton_grpc_url,
        "TRITON_MODEL_NAME": planted.name,
        "GATEWAY_PORT": "0",
        "GATEWAY_METRICS_PORT": "0",
        "REQUEST_TIMEOUT_SECONDS": "20",
        "MAX_REQUEST_TIMEOUT_SECONDS": "20",
        "FEATURE_STORE_TIMEOUT_SECONDS": "5",
        "SHUTDOWN_NOTICE_SECONDS": "0.5",
    }


@asynccontextmanager
async def gateway_process(environment: dict[str, str]) -> AsyncIterator[Process]:
    process = await asyncio.create_subprocess_exec(sys.executable, "-m", "serving", env=environment, stderr=PIPE)
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def port_of(process: Process) -> int:
    """The port that the gateway's log names once it listens."""
    assert process.stderr
    async for line in process.stderr:
        if found := re.search(rb"listening on [\d.]+:(\d+),", line):
            return int(found[1])
    raise AssertionError("the gateway ended before it listened")


def store_session(redis_url: str, item_id: str) -> str:
    session_id = uuid.uuid4().hex
    event = Event("e", EventType.VIEW, session_id, item_id, time.time_ns() // 1_000_000)
    StoredRows(ServingSettings(redis_url=redis_url)).write_sessions([fold(None, [event])])
    return session_id


class Load:
    """Callers that ask without pause, as clients behind a load balancer do, until health says NOT_SERVING."""

    def __init__(self, channel: grpc.aio.Channel, session_id: str) -> None:
        self._stub = RecommenderStub(channel)
        self._health = health_pb2_grpc.HealthStub(channel)
        self._request = pb.RecommendRequest(session_id=session_id, page_size=1)
        self._leaving = False
        self.answers: list[tuple[str, int]] = []
        self.under_way = asyncio.Event()

    async def run(self) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(self._watch())
            for _ in range(CALLERS):
                group.create_task(self._ask())

    async def _ask(self) -> None:
        while not self._leaving:
            answer = await self._stub.Recommend(self._request)
            self.answers.append((answer.items[0].item_id, answer.degraded_reason))
            if len(self.answers) >= 5 * CALLERS:
                self.under_way.set()

    async def _watch(self) -> None:
        async for reply in self._health.Watch(health_pb2.HealthCheckRequest(service=SERVICE_NAME)):
            if reply.status != health_pb2.HealthCheckResponse.SERVING:
                self._leaving = True
                return


async def test_sigterm_under_load_loses_no_call(environment: dict[str, str], planted: PlantedEnsemble) -> None:
    planted.export()
    session_id = store_session(environment["REDIS_URL"], "item 7")
    async with gateway_process(environment) as process:
        async with grpc.aio.insecure_channel(f"127.0.0.1:{await port_of(process)}") as channel:
            load = Load(channel, session_id)
            running = asyncio.create_task(load.run())
            await asyncio.wait({running, asyncio.create_task(load.under_way.wait())}, return_when="FIRST_COMPLETED")
            before = len(load.answers)
            process.send_signal(signal.SIGTERM)
            await running  # raises what any call raised
        _, log = await process.communicate()
    assert process.returncode == 0
    assert len(load.answers) > before
    assert set(load.answers) == {("item 8", pb.DEGRADED_REASON_UNSPECIFIED)}
    assert b"stopped" in log


async def test_calls_in_flight_are_finished_after_the_port_is_closed(
    environment: dict[str, str], planted: PlantedEnsemble
) -> None:
    planted.export()
    session_id = store_session(environment["REDIS_URL"], "item 7")
    async with gateway_process(environment | {"SHUTDOWN_NOTICE_SECONDS": "0"}) as process:
        async with grpc.aio.insecure_channel(f"127.0.0.1:{await port_of(process)}") as channel:
            stub = RecommenderStub(channel)
            await stub.Recommend(pb.RecommendRequest(session_id=session_id))
            calls = [stub.Recommend(pb.RecommendRequest(session_id=session_id)) for _ in range(CALLERS)]
            await calls[0]
            process.send_signal(signal.SIGTERM)
            answers = await asyncio.gather(*calls)
        await process.communicate()
    assert {answer.items[0].item_id for answer in answers} == {"item 8"}
    assert process.returncode == 0


async def test_a_model_that_does_not_fit_ends_the_process_with_one_line(
    environment: dict[str, str], planted: PlantedEnsemble
) -> None:
    planted.export(digest="def")
    async with gateway_process(environment) as process:
        _, log = await process.communicate()
    last_line = log.decode().splitlines()[-1]
    assert process.returncode == 1
    assert "different vocabularies" in last_line
    assert "export and load a model" in last_line
    assert b"Traceback" not in log
