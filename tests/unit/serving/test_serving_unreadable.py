"""Bytes that are not the message: INVALID_ARGUMENT of every method that the gateway has, and few lines in its log."""

from collections.abc import AsyncIterator
from functools import partial
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2
from grpc_reflection.v1alpha import reflection_pb2

from runtime.limited_log import LimitedLog
from serving.proto import recommender_pb2 as pb
from serving.rpc import interceptors
from serving.server import Gateway
from serving.settings import ServingSettings
from tests.support.ports import NOTHING

LATIN_1 = b"\n\x04caf\xe9"
"""Field 1, a text: café in Latin-1."""
GARBAGE = b"\xff\xff\xff"
UNARY = ("/nextclick.serving.v1.Recommender/Recommend", "/grpc.health.v1.Health/Check")
WATCH = "/grpc.health.v1.Health/Watch"
REFLECTION = "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo"
SECONDS = 60.0
LONG = 3600.0


@pytest.fixture
async def gateway(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Gateway]:
    monkeypatch.setattr(interceptors, "LimitedLog", partial(LimitedLog, seconds=LONG))
    nowhere = {"redis_url": f"redis://{NOTHING}/0", "triton_grpc_url": NOTHING}
    settings = ServingSettings(**nowhere, gateway_port=0, gateway_metrics_port=0, shutdown_notice_seconds=0.0)
    async with Gateway(settings) as gateway:
        yield gateway


@pytest.fixture
async def channel(gateway: Gateway) -> AsyncIterator[grpc.aio.Channel]:
    async with grpc.aio.insecure_channel(f"127.0.0.1:{gateway.port}") as channel:
        yield channel


async def ask(channel: grpc.aio.Channel, method: str, *messages: bytes) -> list[bytes]:
    """What the method answers to bytes, whatever kind it is."""
    if method in UNARY:
        return [await channel.unary_unary(method)(messages[0], timeout=SECONDS)]
    if method == WATCH:
        return [await anext(aiter(channel.unary_stream(method)(messages[0], timeout=SECONDS)))]
    return [answer async for answer in channel.stream_stream(method)(iter(messages), timeout=SECONDS)]


@pytest.mark.parametrize("method", [*UNARY, WATCH, REFLECTION])
@pytest.mark.parametrize("message", [LATIN_1, GARBAGE], ids=["latin-1", "garbage"])
async def test_every_method_refuses_what_it_cannot_read(
    channel: grpc.aio.Channel, method: str, message: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.clear()
    for _ in range(20):
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await ask(channel, method, message)
        assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT, caught.value.details()
    assert "UTF-8" in (caught.value.details() or "")
    lines = [record.getMessage() for record in caplog.records if "INVALID_ARGUMENT" in record.getMessage()]
    assert len(lines) == 1
    assert not any(record.exc_info for record in caplog.records)
    assert {record.name for record in caplog.records} <= {"serving.rpc.interceptors", "serving.fallback", "asyncio"}


async def test_a_refused_call_is_counted(gateway: Gateway, channel: grpc.aio.Channel) -> None:
    with pytest.raises(grpc.aio.AioRpcError):
        await ask(channel, UNARY[0], LATIN_1)
    labels = {"method": "Recommend", "code": "INVALID_ARGUMENT", "degraded_reason": ""}
    assert gateway._metrics.registry.get_sample_value("nextclick_gateway_requests_total", labels) == 1


async def test_what_can_be_read_is_answered_as_before(channel: grpc.aio.Channel) -> None:
    [answer] = await ask(channel, UNARY[0], pb.RecommendRequest(session_id="café").SerializeToString())
    assert pb.RecommendResponse.FromString(answer).model_name == "popular_items"
    for method in (UNARY[1], WATCH):
        [status] = await ask(channel, method, health_pb2.HealthCheckRequest().SerializeToString())
        assert health_pb2.HealthCheckResponse.FromString(status).status == health_pb2.HealthCheckResponse.SERVING
    asked: Any = reflection_pb2.ServerReflectionRequest(list_services="")
    [services] = await ask(channel, REFLECTION, asked.SerializeToString())
    listed = reflection_pb2.ServerReflectionResponse.FromString(services).list_services_response.service
    assert "nextclick.serving.v1.Recommender" in [each.name for each in listed]
