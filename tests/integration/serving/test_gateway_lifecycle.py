"""What the gateway does for the cluster around it: HTTP probes beside gRPC with TLS, connections that do not last."""

import asyncio
from typing import Any
from urllib.error import HTTPError
from urllib.request import urlopen

import grpc
import pytest

from serving.proto import recommender_pb2 as pb
from serving.proto.recommender_pb2_grpc import RecommenderStub
from serving.server import Gateway
from serving.settings import ServingSettings
from tests.support.ports import NOTHING
from tests.support.waiting import LIMIT_SECONDS


def get(gateway: Gateway, path: str) -> tuple[int, str]:
    try:
        with urlopen(f"http://127.0.0.1:{gateway.metrics_port}{path}", timeout=LIMIT_SECONDS) as response:
            return response.status, response.read().decode()
    except HTTPError as error:
        with error:
            return error.code, error.read().decode()


def settings(redis_url: str, **changes: Any) -> ServingSettings:
    free = {"gateway_port": 0, "gateway_metrics_port": 0, "triton_grpc_url": NOTHING}
    return ServingSettings(redis_url=redis_url, **(free | changes))


async def test_a_gateway_that_can_answer_is_alive_and_ready(stack: Any) -> None:
    async with Gateway(settings(stack.redis_url)) as gateway:
        assert await asyncio.to_thread(get, gateway, "/healthz") == (200, "alive\n")
        assert await asyncio.to_thread(get, gateway, "/readyz") == (200, "ready\n")


async def test_one_with_nothing_to_answer_with_is_alive_but_not_ready() -> None:
    async with Gateway(settings(f"redis://{NOTHING}/0")) as gateway:
        assert (await asyncio.to_thread(get, gateway, "/healthz"))[0] == 200
        status, words = await asyncio.to_thread(get, gateway, "/readyz")
    assert status == 503
    assert "neither a model nor popular items" in words


async def test_it_is_no_longer_ready_while_it_stops(stack: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    gateway, seen = Gateway(settings(stack.redis_url, shutdown_notice_seconds=0)), asyncio.Event()
    await gateway.start()
    end_loops = gateway._background.stop

    async def end_loops_later(seconds: float) -> None:
        await seen.wait()
        await end_loops(seconds)

    monkeypatch.setattr(gateway._background, "stop", end_loops_later)
    stopping = asyncio.create_task(gateway.stop())
    await asyncio.sleep(0)  # lets stop() begin
    try:
        assert await asyncio.to_thread(get, gateway, "/readyz") == (503, "stopping\n")
        assert (await asyncio.to_thread(get, gateway, "/healthz"))[0] == 200
    finally:
        seen.set()
        await stopping


async def test_callers_are_asked_to_connect_anew_and_lose_no_call(stack: Any) -> None:
    ask = pb.RecommendRequest(session_id="s")
    async with (
        Gateway(settings(stack.redis_url, max_connection_age_seconds=0.2)) as gateway,
        grpc.aio.insecure_channel(f"127.0.0.1:{gateway.port}") as channel,
    ):
        stub = RecommenderStub(channel)
        for _ in range(100):  # several ages, each with calls in flight at its end
            await asyncio.gather(*(stub.Recommend(ask, timeout=LIMIT_SECONDS) for _ in range(8)))
        # Without calls the gateway ends the connection too: nothing else happens on this channel.
        async with asyncio.timeout(LIMIT_SECONDS):
            while (state := channel.get_state()) is grpc.ChannelConnectivity.READY:
                await channel.wait_for_state_change(state)
        await stub.Recommend(ask, timeout=LIMIT_SECONDS)
