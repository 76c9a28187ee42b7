"""The gateway's stop ends, whatever a client does with a cancellation; a second signal ends the process at once."""

import asyncio
import os
import signal
import socket
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from typing import Any

import pytest

import serving.server
from serving.server import Gateway
from serving.settings import ServingSettings
from tests.support.ports import NOTHING

TEST_SECONDS = 120.0
LONG = 3600.0

LAST_RESORT = """
import time
import serving.server
from serving.settings import ServingSettings
serving.server._LAST_RESORT_SECONDS = 0.2
async def stop(self):
    time.sleep(3600)
serving.server.Gateway.stop = stop
serving.server.serve(ServingSettings(shutdown_notice_seconds=0, shutdown_grace_seconds=0))
"""


def settings(**changes: Any) -> ServingSettings:
    quick = {"popular_items_refresh_seconds": 0.01, "availability_refresh_seconds": 0.01, "model_check_seconds": 0.01}
    free = {"gateway_port": 0, "gateway_metrics_port": 0, "shutdown_notice_seconds": 0.0}
    nowhere = {"redis_url": f"redis://{NOTHING}/0", "triton_grpc_url": NOTHING}
    return ServingSettings(**(nowhere | free | quick | changes))


class Swallowing:
    """Stands for the part of a client that a loop waits for: as Python 3.11's `wait_for` may, it returns a result in
    place of the first cancellation."""

    def __init__(self) -> None:
        self.under_way = asyncio.Event()
        self.swallowed = False

    async def __call__(self, *_: object) -> list[Any]:
        self.under_way.set()
        try:
            await asyncio.sleep(LONG)
        except asyncio.CancelledError:
            if self.swallowed:
                raise
            self.swallowed = True
        return []


@pytest.mark.parametrize(
    "read",
    ["_store.read_popular_items", "_availability_store.refresh", "_model._servers.refresh", "_health.set"],
    ids=["popular items", "availability", "model watch", "readiness"],
)
async def test_a_swallowed_cancellation_does_not_hold_the_stop_up(
    read: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    gateway, swallowing = Gateway(settings()), Swallowing()
    await gateway.start()
    owner: Any = gateway
    *path, name = read.split(".")
    for part in path:
        owner = getattr(owner, part)
    monkeypatch.setattr(owner, name, swallowing)
    await swallowing.under_way.wait()
    caplog.clear()
    await asyncio.wait_for(gateway.stop(), TEST_SECONDS)
    assert swallowing.swallowed
    assert "left behind" not in caplog.text


@pytest.mark.parametrize("client", ["_model", "_store", "_availability_store"])
async def test_a_client_that_does_not_close_is_named_and_left_behind(
    client: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(serving.server, "_CLOSE_SECONDS", 0.05)
    gateway, swallowing = Gateway(settings()), Swallowing()
    await gateway.start()
    monkeypatch.setattr(getattr(gateway, client), "close", swallowing)
    await asyncio.wait_for(gateway.stop(), TEST_SECONDS)
    assert "left behind: connections" in caplog.text
    assert not await asyncio.to_thread(is_listening, gateway.metrics_port)


def is_listening(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@asynccontextmanager
async def process_of(*arguments: str, **environment: str) -> AsyncIterator[Process]:
    nowhere = {"REDIS_URL": f"redis://{NOTHING}/0", "TRITON_GRPC_URL": NOTHING}
    free = {"GATEWAY_PORT": "0", "GATEWAY_METRICS_PORT": "0"}
    env = os.environ | nowhere | free | environment
    process = await asyncio.create_subprocess_exec(sys.executable, *arguments, env=env, stderr=PIPE)
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def read_until(process: Process, words: bytes) -> bytes:
    """Its log up to the line with the words."""
    assert process.stderr
    log = b""
    async for line in process.stderr:
        log += line
        if words in line:
            return log
    raise AssertionError(f"the gateway ended before it wrote {words!r}:\n{log.decode()}")


@pytest.mark.parametrize("second", [signal.SIGINT, signal.SIGTERM])
async def test_a_second_signal_ends_the_gateway_at_once(second: signal.Signals) -> None:
    async with process_of("-m", "serving", SHUTDOWN_NOTICE_SECONDS="3600") as process:
        await read_until(process, b"listening on")
        process.send_signal(signal.SIGINT)
        await read_until(process, b"stopping: ")
        process.send_signal(second)
        _, log = await process.communicate()
    assert process.returncode == -second, log.decode()
    assert b"Traceback" not in log


async def test_a_gateway_is_stopped_while_it_waits_for_a_store_that_says_nothing() -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as silent:
        redis_url = f"redis://127.0.0.1:{silent.getsockname()[1]}/0"
        async with process_of("-m", "serving", REDIS_URL=redis_url) as process:
            await read_until(process, b"starting without a model")
            process.send_signal(signal.SIGTERM)
            _, log = await process.communicate()
    assert process.returncode == 0, log.decode()
    assert b"could not be read" not in log, "it waited for the store first"
    assert b"Traceback" not in log


async def test_a_stop_that_takes_too_long_ends_the_process_with_a_line() -> None:
    async with process_of("-c", LAST_RESORT) as process:
        await read_until(process, b"popular items could not be read")
        process.send_signal(signal.SIGTERM)
        _, log = await process.communicate()
    assert process.returncode == 1, log.decode()
    assert b"did not stop within 0.2 s: ended at once" in log
