"""Exceptions become statuses, calls are counted and limited: seen through a real gRPC server and client."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

import grpc
import pytest
from prometheus_client import generate_latest

from serving.errors import InvalidRequestError, ModelDeadlineError, ModelIncompatibleError, ServingError
from serving.metrics import GatewayMetrics
from serving.proto import recommender_pb2 as pb
from serving.proto.recommender_pb2_grpc import RecommenderServicer, RecommenderStub, add_RecommenderServicer_to_server
from serving.rpc.interceptors import CallInterceptor, status_of
from serving.rpc.service import SERVICE_NAME

Answer = Callable[[], Awaitable[pb.RecommendResponse]]


class Servicer(RecommenderServicer):
    answer: Answer

    async def Recommend(self, request: pb.RecommendRequest, context: grpc.aio.ServicerContext) -> pb.RecommendResponse:
        return await self.answer()


class Served:
    """A server with the interceptor around `servicer`, and a client's stub."""

    def __init__(self) -> None:
        self.metrics = GatewayMetrics()
        self.servicer = Servicer()
        self.server = grpc.aio.server(interceptors=[CallInterceptor(SERVICE_NAME, self.metrics, max_concurrent=2)])
        add_RecommenderServicer_to_server(self.servicer, self.server)
        self.channel = grpc.aio.insecure_channel(f"127.0.0.1:{self.server.add_insecure_port('127.0.0.1:0')}")
        self.stub = RecommenderStub(self.channel)

    def count(self, code: str, reason: str = "") -> float:
        labels = {"method": "Recommend", "code": code, "degraded_reason": reason}
        return self.metrics.registry.get_sample_value("nextclick_gateway_requests_total", labels) or 0.0

    async def call(self, answer: Answer) -> pb.RecommendResponse:
        self.servicer.answer = answer
        response: pb.RecommendResponse = await self.stub.Recommend(pb.RecommendRequest(session_id="s1"))
        return response


@pytest.fixture
async def served() -> AsyncIterator[Served]:
    served = Served()
    await served.server.start()
    yield served
    await served.channel.close()
    await served.server.stop(None)


def raising(error: Exception) -> Answer:
    async def answer() -> pb.RecommendResponse:
        raise error

    return answer


def answering(**fields: object) -> Answer:
    async def answer() -> pb.RecommendResponse:
        return pb.RecommendResponse(**fields)  # type: ignore[arg-type]

    return answer


async def test_answers_pass_and_are_counted_with_their_reason(served: Served) -> None:
    assert (await served.call(answering(model_name="m"))).model_name == "m"
    await served.call(answering(degraded_reason=pb.DEGRADED_REASON_SESSION_STALE))
    assert (served.count("OK"), served.count("OK", "SESSION_STALE")) == (1, 1)
    exposed = generate_latest(served.metrics.registry).decode()
    assert 'nextclick_gateway_latency_seconds_count{method="Recommend"} 2.0' in exposed


async def test_an_invalid_request_is_named_to_the_caller(served: Served) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await served.call(raising(InvalidRequestError("page_size", "is odd")))
    assert (caught.value.code(), caught.value.details()) == (grpc.StatusCode.INVALID_ARGUMENT, "page_size: is odd")
    assert served.count("INVALID_ARGUMENT") == 1


async def test_a_defect_is_logged_and_not_told(served: Served, caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await served.call(raising(RuntimeError("password is 123")))
    assert caught.value.code() is grpc.StatusCode.INTERNAL
    assert "123" not in (caught.value.details() or "")
    assert "password is 123" in caplog.text


async def test_calls_above_the_limit_are_turned_away_and_later_ones_are_not(served: Served) -> None:
    release = asyncio.Event()
    entered = asyncio.Semaphore(0)

    async def held() -> pb.RecommendResponse:
        entered.release()
        await release.wait()
        return pb.RecommendResponse()

    waiting = [asyncio.create_task(served.call(held)) for _ in range(2)]
    for _ in waiting:
        await entered.acquire()
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await served.call(held)
    assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    release.set()
    await asyncio.gather(*waiting)
    await served.call(held)
    assert (served.count("OK"), served.count("RESOURCE_EXHAUSTED")) == (3, 1)


async def test_a_call_that_its_caller_gave_up_is_counted_as_cancelled(served: Served) -> None:
    ended = asyncio.Event()

    async def held() -> pb.RecommendResponse:
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()
        return pb.RecommendResponse()

    served.servicer.answer = held
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await served.stub.Recommend(pb.RecommendRequest(), timeout=0.1)
    assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    await asyncio.wait_for(ended.wait(), 10)
    await asyncio.sleep(0)
    assert served.count("CANCELLED") == 1


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (ModelDeadlineError("late"), grpc.StatusCode.DEADLINE_EXCEEDED),
        (ModelIncompatibleError("other"), grpc.StatusCode.UNAVAILABLE),  # by its parent
        (ServingError("?"), grpc.StatusCode.INTERNAL),
    ],
)
def test_the_most_derived_listed_class_decides(error: Exception, code: grpc.StatusCode) -> None:
    assert status_of(error)[0] is code
