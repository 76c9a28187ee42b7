"""The gateway over gRPC, on a real Redis and a real Triton that serves the planted ensemble."""

import asyncio
import time
import urllib.request
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, closing
from typing import Any
from urllib.parse import urlsplit

import grpc
import pytest
import redis
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from feature_repo.online.popularity import PopularityShard
from feature_repo.schema import DEFAULT_PAGE_SIZE, Event, EventType
from feature_repo.session import fold
from serving.errors import GatewayStartError
from serving.proto import recommender_pb2 as pb
from serving.proto.recommender_pb2_grpc import RecommenderStub
from serving.recommender import POPULAR_ITEMS_NAME
from serving.rpc.service import SERVICE_NAME
from serving.server import Gateway
from serving.settings import ServingSettings
from tests.support.planted_ensemble import PlantedEnsemble
from tests.support.ports import NOTHING
from tests.support.stored_rows import StoredRows
from tests.support.waiting import LIMIT_SECONDS

POPULAR = {"item 5": 3, "item 7": 2, "item 3": 1}
"""Item ids and their events, most popular first."""
REDIS_DB = "/9"


@pytest.fixture(scope="module")
def redis_url(stack: Any) -> str:
    """A database of this module's own, emptied, with popular items in it."""
    url = urlsplit(stack.redis_url)._replace(path=REDIS_DB).geturl()
    with redis.Redis.from_url(url) as client:
        client.flushdb()
    popularity = PopularityShard()
    for item_id in Counter(POPULAR).elements():
        popularity.add([(item_id, now_ms())])
    writer_for(url).write_popularity(popularity)
    return url


@pytest.fixture(scope="module")
def served(stack: Any) -> Iterator[PlantedEnsemble]:
    """Version 1, served all along."""
    with closing(PlantedEnsemble(stack)) as planted:
        planted.export()
        yield planted


@pytest.fixture
def planted(stack: Any) -> Iterator[PlantedEnsemble]:
    """An ensemble of the test's own. Nothing of it is served yet."""
    with closing(PlantedEnsemble(stack)) as planted:
        yield planted


@pytest.fixture
def settings(stack: Any, redis_url: str, served: PlantedEnsemble) -> ServingSettings:
    return settings_with(redis_url=redis_url, triton_grpc_url=stack.triton_grpc_url, triton_model_name=served.name)


@pytest.fixture
def own_settings(settings: ServingSettings, planted: PlantedEnsemble) -> ServingSettings:
    return settings.model_copy(update={"triton_model_name": planted.name})


def settings_with(**changes: Any) -> ServingSettings:
    patient = {
        "request_timeout_seconds": 20.0,
        "max_request_timeout_seconds": 20.0,
        "feature_store_timeout_seconds": 5.0,
    }
    quick = {"model_check_seconds": 0.05, "popular_items_refresh_seconds": 0.05, "shutdown_notice_seconds": 0.0}
    return ServingSettings(gateway_port=0, gateway_metrics_port=0, **(patient | quick | changes))


def writer_for(redis_url: str) -> StoredRows:
    return StoredRows(settings_with(redis_url=redis_url))


def now_ms() -> int:
    return time.time_ns() // 1_000_000


def events_of(session_id: str, *item_ids: str) -> list[Event]:
    start = now_ms() - 60_000
    return [
        Event(f"{session_id}/{place}", EventType.VIEW, session_id, item_id, start + place)
        for place, item_id in enumerate(item_ids)
    ]


def store_session(redis_url: str, *item_ids: str) -> str:
    session_id = uuid.uuid4().hex
    writer_for(redis_url).write_sessions([fold(None, events_of(session_id, *item_ids))])
    return session_id


@asynccontextmanager
async def running(settings: ServingSettings) -> AsyncIterator[tuple[Gateway, RecommenderStub]]:
    async with Gateway(settings) as gateway, grpc.aio.insecure_channel(f"127.0.0.1:{gateway.port}") as channel:
        yield gateway, RecommenderStub(channel)


async def recommend(stub: RecommenderStub, session_id: str, **fields: Any) -> pb.RecommendResponse:
    """With a deadline, as an app would: longer than any that the gateway sets itself."""
    request = pb.RecommendRequest(session_id=session_id, **fields)
    response: pb.RecommendResponse = await stub.Recommend(request, timeout=60.0)
    return response


def ids(response: pb.RecommendResponse) -> list[str]:
    return [item.item_id for item in response.items]


async def eventually(stub: RecommenderStub, session_id: str, condition: Callable[[pb.RecommendResponse], bool]) -> None:
    """Ask until the answer fulfils the condition; the test's own time limit ends it."""
    while not condition(await recommend(stub, session_id)):  # noqa: ASYNC110 - another process decides
        await asyncio.sleep(0.02)


async def test_a_known_session_is_answered_by_the_model(settings: ServingSettings, served: PlantedEnsemble) -> None:
    session_id = store_session(settings.redis_url.get_secret_value(), "item 9", "item 7")
    async with running(settings) as (_, stub):
        answer = await recommend(stub, session_id)
    assert ids(answer) == ["item 8", *(f"item {number}" for number in range(10, 10 + DEFAULT_PAGE_SIZE - 1))]
    assert [item.position for item in answer.items] == list(range(1, DEFAULT_PAGE_SIZE + 1))
    assert (answer.model_name, answer.model_version) == (served.name, "1")
    assert (answer.session_length, answer.last_event_id) == (2, f"{session_id}/1")
    assert answer.degraded_reason == pb.DEGRADED_REASON_UNSPECIFIED


async def test_the_request_shapes_the_answer(settings: ServingSettings) -> None:
    session_id = store_session(settings.redis_url.get_secret_value(), "item 8", "item 7")
    recent = pb.RecentEvent(event_id="new", event_type="purchase", item_id="item 20", timestamp_ms=now_ms())
    async with running(settings) as (_, stub):
        with_seen = await recommend(stub, session_id, page_size=2, exclude_seen=False)
        without = await recommend(stub, session_id, page_size=2, exclude_item_ids=["item 9", "item 10"])
        moved_on = await recommend(stub, session_id, page_size=1, recent_events=[recent])
    assert ids(with_seen) == ["item 8", "item 9"]
    assert ids(without) == ["item 11", "item 12"]
    assert ids(moved_on) == ["item 21"]
    assert (moved_on.session_length, moved_on.last_event_id) == (3, "new")


async def test_an_unknown_session_gets_popular_items(settings: ServingSettings) -> None:
    async with running(settings) as (_, stub):
        answer = await recommend(stub, uuid.uuid4().hex)
    assert ids(answer) == list(POPULAR)
    assert (answer.model_name, answer.model_version) == (POPULAR_ITEMS_NAME, "")
    assert answer.degraded_reason == pb.DEGRADED_REASON_SESSION_MISSING


async def test_a_stale_session_is_told_from_a_missing_one(settings: ServingSettings) -> None:
    session_id = uuid.uuid4().hex
    old = Event("e", EventType.VIEW, session_id, "item 7", now_ms() - 45 * 24 * 3_600_000)
    writer_for(settings.redis_url.get_secret_value()).write_sessions([fold(None, [old])])
    async with running(settings) as (_, stub):
        answer = await recommend(stub, session_id)
    assert answer.degraded_reason == pb.DEGRADED_REASON_SESSION_STALE


async def test_a_model_that_comes_later_is_picked_up(own_settings: ServingSettings, planted: PlantedEnsemble) -> None:
    session_id = store_session(own_settings.redis_url.get_secret_value(), "item 7")
    async with running(own_settings) as (_, stub):
        without = await recommend(stub, session_id)
        await asyncio.to_thread(planted.export)
        await eventually(stub, session_id, lambda answer: answer.model_name == planted.name)
    assert ids(without) == ["item 5", "item 3"]
    assert without.degraded_reason == pb.DEGRADED_REASON_MODEL_UNAVAILABLE


async def test_no_triton_at_all_is_a_degraded_answer(settings: ServingSettings) -> None:
    session_id = store_session(settings.redis_url.get_secret_value(), "item 5")
    async with running(settings.model_copy(update={"triton_grpc_url": NOTHING})) as (_, stub):
        answer = await recommend(stub, session_id)
    assert ids(answer) == ["item 7", "item 3"]
    assert (answer.degraded_reason, answer.last_event_id) == (pb.DEGRADED_REASON_MODEL_UNAVAILABLE, f"{session_id}/0")


async def test_a_new_version_is_answered_from_without_a_degraded_answer(
    own_settings: ServingSettings, planted: PlantedEnsemble
) -> None:
    planted.export()
    session_id = store_session(own_settings.redis_url.get_secret_value(), "item 7")
    async with running(own_settings.model_copy(update={"model_check_seconds": 3600.0})) as (_, stub):
        export = asyncio.create_task(asyncio.to_thread(planted.export, 2, 5))
        answers = []
        while not answers or answers[-1].model_version == "1":
            answers.append(await recommend(stub, session_id, page_size=1))
            if export.done():
                await export  # one that failed would be waited for in vain
        await export
    assert {(answer.model_version, *ids(answer)) for answer in answers} == {("1", "item 8"), ("2", "item 12")}
    assert {answer.degraded_reason for answer in answers} == {pb.DEGRADED_REASON_UNSPECIFIED}


@pytest.mark.parametrize(
    ("wrong", "problem"),
    [({"digest": "def"}, "different vocabularies"), ({"width": 20}, r"timestamps_ms is TYPE_INT64 \[20\], expected")],
)
async def test_a_model_that_does_not_fit_is_refused(
    own_settings: ServingSettings, planted: PlantedEnsemble, wrong: dict[str, Any], problem: str
) -> None:
    planted.export(**wrong)
    with pytest.raises(GatewayStartError, match=problem):
        async with running(own_settings):
            pass


async def test_a_later_version_that_does_not_fit_is_not_answered_from(
    own_settings: ServingSettings, planted: PlantedEnsemble
) -> None:
    planted.export()
    session_id = store_session(own_settings.redis_url.get_secret_value(), "item 7")
    async with running(own_settings) as (_, stub):
        await asyncio.to_thread(planted.export, 2, 1, "def")
        incompatible = pb.DEGRADED_REASON_MODEL_INCOMPATIBLE
        await eventually(stub, session_id, lambda answer: answer.degraded_reason == incompatible)
        await asyncio.to_thread(planted.export, 3)
        await eventually(stub, session_id, lambda answer: answer.model_version == "3")


async def test_a_call_without_time_for_the_model_is_answered_all_the_same(settings: ServingSettings) -> None:
    session_id = store_session(settings.redis_url.get_secret_value(), "item 7")
    async with running(settings.model_copy(update={"fallback_reserve_seconds": 15.0})) as (_, stub):
        in_a_hurry = await stub.Recommend(pb.RecommendRequest(session_id=session_id), timeout=10.0)
        at_leisure = await stub.Recommend(pb.RecommendRequest(session_id=session_id), timeout=60.0)
    assert (in_a_hurry.degraded_reason, ids(in_a_hurry)) == (pb.DEGRADED_REASON_MODEL_DEADLINE, ["item 5", "item 3"])
    assert at_leisure.degraded_reason == pb.DEGRADED_REASON_UNSPECIFIED


async def test_without_a_feature_store_recent_events_still_count(
    settings: ServingSettings, served: PlantedEnsemble
) -> None:
    away = settings_with(
        redis_url=f"redis://{NOTHING}/0",
        triton_grpc_url=settings.triton_grpc_url,
        triton_model_name=served.name,
    )
    recent = pb.RecentEvent(event_id="e", event_type="view", item_id="item 7", timestamp_ms=now_ms())
    async with running(away) as (_, stub):
        nothing_known = await recommend(stub, "s")
        recent_known = await recommend(stub, "s", page_size=1, recent_events=[recent])
    without_store = pb.DEGRADED_REASON_FEATURE_STORE_UNAVAILABLE
    assert (nothing_known.degraded_reason, ids(nothing_known)) == (without_store, [])
    assert (recent_known.degraded_reason, ids(recent_known)) == (without_store, ["item 8"])


async def test_an_invalid_request_is_refused_by_name(settings: ServingSettings) -> None:
    async with running(settings) as (_, stub):
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await recommend(stub, "s", page_size=500)
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert caught.value.details() == "page_size: must be between 1 and 100, got 500"


async def test_health_reflection_and_metrics(settings: ServingSettings) -> None:
    async with running(settings) as (gateway, stub), grpc.aio.insecure_channel(f"127.0.0.1:{gateway.port}") as channel:
        await recommend(stub, uuid.uuid4().hex)
        health = await health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(service=SERVICE_NAME))
        reflection = reflection_pb2_grpc.ServerReflectionStub(channel)
        asked = iter([reflection_pb2.ServerReflectionRequest(list_services="")])
        listed = [reply async for reply in reflection.ServerReflectionInfo(asked)]
        metrics = await asyncio.to_thread(fetch, f"http://127.0.0.1:{gateway.metrics_port}/metrics")
    assert health.status == health_pb2.HealthCheckResponse.SERVING
    assert SERVICE_NAME in [service.name for service in listed[0].list_services_response.service]
    counted = 'nextclick_gateway_requests_total{code="OK",degraded_reason="SESSION_MISSING",method="Recommend"} 1.0'
    assert counted in metrics.splitlines()


async def test_a_gateway_with_nothing_to_answer_with_says_so() -> None:
    nowhere = settings_with(redis_url=f"redis://{NOTHING}/0", triton_grpc_url=NOTHING)
    async with running(nowhere) as (gateway, _), grpc.aio.insecure_channel(f"127.0.0.1:{gateway.port}") as channel:
        stub = health_pb2_grpc.HealthStub(channel)
        of_service = await stub.Check(health_pb2.HealthCheckRequest(service=SERVICE_NAME))
        of_process = await stub.Check(health_pb2.HealthCheckRequest())
    assert of_service.status == health_pb2.HealthCheckResponse.NOT_SERVING
    assert of_process.status == health_pb2.HealthCheckResponse.SERVING


async def test_a_taken_port_is_one_clear_error(settings: ServingSettings) -> None:
    async with running(settings) as (gateway, _):
        second = settings.model_copy(update={"gateway_port": gateway.port})
        with pytest.raises(GatewayStartError, match=f"cannot listen on 127.0.0.1:{gateway.port}; set GATEWAY_PORT"):
            async with running(second):
                pass


def fetch(url: str) -> str:
    with urllib.request.urlopen(url, timeout=LIMIT_SECONDS) as response:  # noqa: S310 - our own address
        text: str = response.read().decode()
        return text
