"""The catalogue's way from Kafka into the online store and the gateway's answers, on real servers."""

import asyncio
import json
import time
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any

import grpc
import pytest
import redis
from kafka import KafkaProducer

from feature_repo.feature_store import apply
from feature_repo.online.availability import AvailabilityReader
from feature_repo.online.popularity import PopularityShard
from feature_repo.online.redis_rows import RedisRows
from feature_repo.online.store import OnlineStoreReader
from feature_repo.schema import Event, EventType, Item
from feature_repo.session import fold
from nextclick.stack.addresses import Addresses
from serving.proto import recommender_pb2 as pb
from serving.proto.recommender_pb2_grpc import RecommenderStub
from serving.server import Gateway
from serving.settings import ServingSettings
from streaming.catalogue.consumer import Catalogue, run_catalogue
from streaming.catalogue.parser import item_to_json
from streaming.catalogue.store import CatalogueBatch, CatalogueStore, Change
from streaming.catalogue.topic import send_items
from streaming.dead_letters.reader import read_letters
from streaming.kafka.topics import ensure_items_topic
from streaming.settings import StreamingSettings
from streaming.stage.metrics import StreamingMetrics
from tests.support.empty_store import empty_store
from tests.support.gate import InterruptedRows
from tests.support.own_servers import redis_server
from tests.support.planted_ensemble import PlantedEnsemble
from tests.support.stage_thread import running
from tests.support.stored_rows import StoredRows
from tests.support.waiting import LIMIT_SECONDS, wait_until

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # Feast's own imports


@pytest.fixture
def settings(streaming_settings: StreamingSettings) -> Iterator[StreamingSettings]:
    """An online store and a topic of this test alone."""
    with empty_store(streaming_settings) as own:
        apply(own)  # takes long the first time, which no wait should count
        ensure_items_topic(own)
        yield own


def snapshot(settings: StreamingSettings) -> dict[bytes, Any]:
    """Item rows as they are, and which items are unavailable."""
    with redis.Redis.from_url(settings.redis_url.get_secret_value()) as client:
        rows: dict[bytes, Any] = {key: client.hgetall(key) for key in client.scan_iter("*item_id*")}
        entries = client.zrange("nextclick:{availability}:entries", 0, -1, withscores=True)
    return rows | {b"unavailable": {item_id for item_id, entry in entries if entry % 2}}


def read_items(settings: StreamingSettings, *item_ids: str) -> dict[str, Item]:
    with closing(StoredRows(settings)) as store:
        return store.read_items(item_ids)


def positions(settings: StreamingSettings) -> dict[bytes, int]:
    with redis.Redis.from_url(settings.redis_url.get_secret_value()) as client:
        return {key: int(client.get(key)) for key in client.scan_iter("*position*")}


def send(settings: StreamingSettings, *changes: tuple[str, Item | None]) -> None:
    send_items(settings, changes, len(changes))


# --- the store ----------------------------------------------------------------------------------------------------


def batch(next_offset: int, *changes: tuple[str, int, Item | None], partition: int = 0) -> CatalogueBatch:
    by_id = {item_id: Change(offset, 1_000 * offset, item) for item_id, offset, item in changes}
    return CatalogueBatch("topic", partition, 0, next_offset, by_id)


@pytest.fixture
def store(settings: StreamingSettings) -> Iterator[CatalogueStore]:
    with closing(RedisRows(settings)) as rows:
        yield CatalogueStore(rows)


def test_the_highest_offset_stays_whoever_writes_last(settings: StreamingSettings, store: CatalogueStore) -> None:
    successor, rows = store, RedisRows(settings)
    frozen = CatalogueStore(rows)
    old = batch(3, ("a", 0, Item("a", title="old")), ("b", 1, Item("b", available=False)), ("c", 2, Item("c")))
    new = batch(6, ("a", 3, Item("a", title="new")), ("b", 4, Item("b")), ("c", 5, None))
    successor.write([old])
    successor.write([new])
    expected = snapshot(settings)
    frozen.write([old])
    frozen.write([old, batch(2, ("d", 1, Item("d")), partition=1)])
    found = snapshot(settings)
    assert read_items(settings, "a", "b", "c", "d") == {
        "a": Item("a", title="new"),
        "b": Item("b"),
        "d": Item("d"),
    }
    assert {key: value for key, value in found.items() if b"\x01\0\0\0d" not in key} == expected
    assert found[b"unavailable"] == {b"c"}
    rows.close()


def test_a_writer_that_is_overtaken_after_it_has_read_writes_nothing_old(
    settings: StreamingSettings, store: CatalogueStore
) -> None:
    with closing(InterruptedRows(settings)) as rows:
        rows.meanwhile = lambda: store.write([batch(2, ("a", 1, Item("a", title="new")))])
        CatalogueStore(rows).write([batch(1, ("a", 0, Item("a", title="old")))])
        assert rows.meanwhile is None
    assert read_items(settings, "a") == {"a": Item("a", title="new")}
    store.check([CatalogueBatch("topic", 0, 2, 2)])  # raises if the position went back


async def test_readers_follow_redis_and_notice_that_it_was_emptied(
    settings: StreamingSettings, store: CatalogueStore
) -> None:
    reader = AvailabilityReader(settings)
    await reader.refresh()
    seen = [set(reader.unavailable)]
    for offset, changes in enumerate(({"a": False, "b": False}, {"a": True}, {"a": True, "c": False})):
        store.write([batch(offset + 1, *((key, offset, Item(key, available=on)) for key, on in changes.items()))])
        await reader.refresh()
        seen.append(set(reader.unavailable))
    assert seen == [set(), {"a", "b"}, {"b"}, {"b", "c"}]
    with redis.Redis.from_url(settings.redis_url.get_secret_value()) as client:
        client.delete(*client.scan_iter("*availability*"), *client.scan_iter("*position*"))
    store.write([batch(1, ("d", 0, None))])
    await reader.refresh()
    assert reader.unavailable == {"d"}
    await reader.close()


async def test_rows_deletions_and_availability_go_together(settings: StreamingSettings, store: CatalogueStore) -> None:
    reader, rows = AvailabilityReader(settings), OnlineStoreReader(settings)
    now = time.time_ns() // 1_000_000
    item = Item("a", "Title", "shoes", "B", 9.5, True, ("new", "red"))
    store.write([CatalogueBatch("topic", 0, 0, 2, {"a": Change(0, now, item), "b": Change(1, now, Item("b"))})])
    store.write([CatalogueBatch("topic", 0, 2, 3, {"b": Change(2, now, None)})])
    await reader.refresh()
    assert [await rows.read_item(item_id) for item_id in ("a", "b")] == [item, None]
    assert reader.unavailable == {"b"}
    for each in (reader, rows):
        await each.close()


# --- the consumer -------------------------------------------------------------------------------------------------


def test_the_last_message_of_an_item_wins_and_a_replay_changes_nothing(settings: StreamingSettings) -> None:
    send(settings, ("a", Item("a", title="1")), ("b", Item("b")), ("a", Item("a", title="2", available=False)))
    send(settings, ("b", None), ("c", None), ("c", Item("c", tags=("back",))), ("end", Item("end")))
    with running(run_catalogue, settings):
        wait_until("all", lambda: len(read_items(settings, "a", "c", "end")) == 3)
        wait_until("the deletion", lambda: not read_items(settings, "b"))
    expected = snapshot(settings)
    assert read_items(settings, "a", "b", "c") == {
        "a": Item("a", title="2", available=False),
        "c": Item("c", tags=("back",)),
    }
    assert expected[b"unavailable"] == {b"a", b"b"}
    reached = positions(settings)
    with redis.Redis.from_url(settings.redis_url.get_secret_value()) as client:
        client.delete(*reached)  # as if the store had forgotten how far it was
    again = settings.model_copy(update={"catalogue_group": f"{settings.catalogue_group}-again"})
    send(settings, ("last", Item("last")))
    with running(run_catalogue, again):
        wait_until("the replay", lambda: sum(positions(settings).values()) > sum(reached.values()))
    assert {key: value for key, value in snapshot(settings).items() if b"last" not in key} == expected


def test_bad_messages_become_dead_letters_and_the_rest_goes_on(settings: StreamingSettings) -> None:
    with closing(KafkaProducer(bootstrap_servers=settings.kafka_bootstrap_servers)) as producer:
        for key, value in ((b"a", b'{"price": -1}'), (b"b", b"not json"), (b"c", b'{"title": "C", "colour": "red"}')):
            producer.send(settings.items_topic, key=key, value=value, partition=0)
        producer.flush()
    metrics = StreamingMetrics()
    with closing(Catalogue(settings, ensure_items_topic(settings), metrics)) as catalogue:

        def handled() -> bool:
            catalogue.step()
            return metrics.registry.get_sample_value("nextclick_items_total", {"result": "rejected"}) == 2

        wait_until("the letters", handled)
    letters = sorted(read_letters(settings), key=lambda letter: letter.source_offset)
    assert [(letter.source, letter.field, letter.value) for letter in letters] == [
        (f"{settings.items_topic}[0]@0", "price", b'{"price": -1}'),
        (f"{settings.items_topic}[0]@1", "item", b"not json"),
    ]
    assert read_items(settings, "a", "b", "c") == {"c": Item("c", title="C")}
    assert metrics.registry.get_sample_value("nextclick_unknown_fields_total") == 1
    assert metrics.registry.get_sample_value("nextclick_dead_letters_total", {"reason": "malformed", "field": "item"})


def test_a_store_that_is_away_loses_nothing(settings: StreamingSettings, tmp_path: Path) -> None:
    server = redis_server(tmp_path)
    away = settings.model_validate(settings.model_dump() | {"redis_url": server.address})
    send(away, ("a", Item("a", title="A")), ("b", None))
    metrics = StreamingMetrics()
    with closing(Catalogue(away, ensure_items_topic(away), metrics)) as catalogue:

        def failed_twice() -> bool:
            catalogue.step()
            return (metrics.registry.get_sample_value("nextclick_store_retries_total") or 0) >= 2

        wait_until("a write that fails, and again", failed_twice)
        with server:

            def written() -> bool:
                catalogue.step()
                return metrics.registry.get_sample_value("nextclick_items_total", {"result": "written"}) == 1

            wait_until("the write", written)
            wait_until("both", lambda: catalogue.step() or snapshot(away)[b"unavailable"] == {b"b"})
            assert read_items(away, "a", "b") == {"a": Item("a", title="A")}


# --- the gateway --------------------------------------------------------------------------------------------------


@asynccontextmanager
async def gateway(
    settings: StreamingSettings, stack: Addresses, planted: PlantedEnsemble
) -> AsyncIterator[RecommenderStub]:
    serving = ServingSettings(
        gateway_port=0,
        gateway_metrics_port=0,
        redis_url=settings.redis_url,
        triton_grpc_url=stack.triton_grpc_url,
        triton_model_name=planted.name,
        request_timeout_seconds=20.0,
        max_request_timeout_seconds=20.0,
        feature_store_timeout_seconds=5.0,
        popular_items_refresh_seconds=0.1,
        shutdown_notice_seconds=0.0,
    )
    async with Gateway(serving) as started, grpc.aio.insecure_channel(f"127.0.0.1:{started.port}") as channel:
        yield RecommenderStub(channel)


async def answer(stub: RecommenderStub, session_id: str) -> list[str]:
    response: pb.RecommendResponse = await stub.Recommend(pb.RecommendRequest(session_id=session_id, page_size=3))
    return [item.item_id for item in response.items]


async def delay_until(stub: RecommenderStub, session_id: str, is_true: Callable[[list[str]], bool]) -> float:
    """Seconds from now until an answer fulfils the condition."""
    began = time.perf_counter()
    while not is_true(await answer(stub, session_id)):
        assert time.perf_counter() - began < LIMIT_SECONDS, "the answers do not change"
        await asyncio.sleep(0.005)
    return time.perf_counter() - began


def store_what_gateways_read(settings: StreamingSettings) -> str:
    """A session whose newest item is 7, and popular items 8 and 9; the session's id."""
    session_id, now = uuid.uuid4().hex, time.time_ns() // 1_000_000
    popularity = PopularityShard()
    for item_id in ("item 8", "item 8", "item 9"):
        popularity.add([(item_id, now)])
    with closing(StoredRows(settings)) as store:
        store.write_sessions([fold(None, [Event("e", EventType.VIEW, session_id, "item 7", now)])])
        store.write_popularity(popularity)
    return session_id


async def test_availability_reaches_answers_of_model_and_fallback(
    settings: StreamingSettings, stack: Addresses, capsys: pytest.CaptureFixture[str]
) -> None:
    session_id = store_what_gateways_read(settings)
    delays = []
    producer = KafkaProducer(bootstrap_servers=settings.kafka_bootstrap_servers)
    with closing(producer), closing(PlantedEnsemble(stack)) as planted, running(run_catalogue, settings):
        await asyncio.to_thread(planted.export)
        async with gateway(settings, stack, planted) as stub:
            assert await answer(stub, session_id) == ["item 8", "item 9", "item 10"]
            assert await answer(stub, "unknown") == ["item 8", "item 9"]
            warm = Item("another", available=False)
            await asyncio.to_thread(send, settings, ("another", warm))
            await asyncio.to_thread(wait_until, "the consumer", lambda: bool(read_items(settings, "another")))
            for change in (Item("item 8", available=False), Item("item 8"), None, Item("item 8")):
                producer.send(settings.items_topic, key=b"item 8", value=item_to_json(change) if change else None)
                wanted = change is not None and change.available
                delays.append(await delay_until(stub, session_id, lambda ids, on=wanted: ("item 8" in ids) is on))
                expected = ["item 8", "item 9", "item 10"] if wanted else ["item 9", "item 10", "item 11"]
                assert await answer(stub, session_id) == expected
                assert await answer(stub, "unknown") == (["item 8", "item 9"] if wanted else ["item 9"])
    with capsys.disabled():
        print("\nmessage to answer:", json.dumps([round(delay, 3) for delay in delays]), "s")


async def test_what_was_known_outlives_the_store(
    settings: StreamingSettings, stack: Addresses, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def refreshes_failed() -> bool:
        return all(f"{what} could not be read" in caplog.text for what in ("availability", "popular items"))

    with redis_server(tmp_path) as server, closing(PlantedEnsemble(stack)) as planted:
        own = settings.model_validate(settings.model_dump() | {"redis_url": server.address})
        await asyncio.to_thread(planted.export)
        session_id = store_what_gateways_read(own)
        with closing(RedisRows(own)) as rows:
            CatalogueStore(rows).write([batch(1, ("item 8", 0, None))])
        async with gateway(own, stack, planted) as stub:
            assert await answer(stub, session_id) == ["item 9", "item 10", "item 11"]
            await asyncio.to_thread(server.kill)
            await asyncio.to_thread(wait_until, "refreshes in vain", refreshes_failed)
            assert await answer(stub, session_id) == ["item 9"]
