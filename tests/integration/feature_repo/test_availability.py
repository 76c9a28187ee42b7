"""The gateway's copy of what is unavailable, followed on a real Redis."""

from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, closing

import pytest
import redis

from feature_repo.errors import OnlineStoreError
from feature_repo.online import availability
from feature_repo.online.availability import AvailabilityReader, note_command
from feature_repo.online.redis_rows import RedisRows
from feature_repo.settings import SharedSettings
from nextclick.stack.addresses import Addresses
from tests.support.empty_store import empty_store


@pytest.fixture
def settings(stack: Addresses) -> Iterator[SharedSettings]:
    """A log of this test alone."""
    with empty_store(SharedSettings(nextclick_home=stack.home, redis_url=stack.redis_url)) as own:
        yield own


def note(settings: SharedSettings, available: Mapping[str, bool]) -> None:
    """As the catalogue's stage does, in a transaction."""
    with closing(RedisRows(settings)) as rows:
        assert rows.commit({}, [], [note_command(available)])


def client(settings: SharedSettings) -> redis.Redis:
    return redis.Redis.from_url(settings.redis_url.get_secret_value())


def entries(settings: SharedSettings) -> dict[bytes, float]:
    with client(settings) as connection:
        return dict(connection.zrange("nextclick:{availability}:entries", 0, -1, withscores=True))


@asynccontextmanager
async def opened(settings: SharedSettings) -> AsyncIterator[AvailabilityReader]:
    reader = AvailabilityReader(settings)
    try:
        await reader.refresh()
        yield reader
    finally:
        await reader.close()


async def test_changes_are_followed(settings: SharedSettings) -> None:
    async with opened(settings) as reader:
        assert reader.unavailable == set()
        for changes, expected in (
            ({"a": False, "b": False, "c": True}, {"a", "b"}),
            ({"a": True, "b": False}, {"b"}),
            ({"a": False}, {"a", "b"}),
            ({"a": True, "b": True}, set()),
        ):
            note(settings, changes)
            await reader.refresh()
            assert reader.unavailable == expected
            async with opened(settings) as late:
                assert late.unavailable == expected


async def test_of_many_changes_none_is_lost(settings: SharedSettings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(availability, "_PAGE", 3)
    note(settings, {str(number): False for number in range(10)})
    async with opened(settings) as reader:
        assert reader.unavailable == {str(number) for number in range(10)}
        note(settings, {str(number): number % 2 == 0 for number in range(20)})
        await reader.refresh()
        assert reader.unavailable == {str(number) for number in range(1, 20, 2)}


async def test_what_does_not_change_leaves_no_entry(settings: SharedSettings) -> None:
    note(settings, {"a": False, "b": True})
    before = entries(settings)
    note(settings, {"a": False, "b": True})
    assert entries(settings) == before
    assert before.keys() == {b"a"}  # what was never gone is available without an entry
    async with opened(settings) as reader:
        assert [await reader.is_unavailable(item_id) for item_id in ("a", "b", "c")] == [True, False, False]


async def test_a_store_begun_anew_is_read_anew(settings: SharedSettings) -> None:
    note(settings, {"a": False, "b": False, "c": False})
    async with opened(settings) as reader:
        with client(settings) as connection:
            connection.delete(*connection.scan_iter("*availability*"))
        note(settings, {"d": False})
        await reader.refresh()
        assert reader.unavailable == {"d"}


async def test_a_store_that_refuses_changes_nothing(settings: SharedSettings) -> None:
    note(settings, {"a": False})
    async with opened(settings) as reader:
        with client(settings) as connection:
            connection.set("nextclick:{availability}:entries", "no log")
        for call in (reader.refresh(), reader.is_unavailable("a")):
            with pytest.raises(OnlineStoreError, match="WRONGTYPE"):
                await call
        assert reader.unavailable == {"a"}
