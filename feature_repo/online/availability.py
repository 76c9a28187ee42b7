"""Which items must not be answered. It is a log: a gateway asks for what has changed since it last asked.

The log holds one entry for each item that was ever unavailable, the item's newest change. Changes are numbered; an
entry is twice the number, and one more if the item must not be answered from then on. An item without an entry is
available, so a shop without a catalogue has an empty log. A deleted item keeps its entry for good: its row is gone, and
only the entry tells it from an item that the catalogue never knew.
"""

import secrets
from collections.abc import Mapping, Sequence, Set
from typing import NamedTuple

import redis.asyncio
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from feature_repo.online.redis_commands import Command
from feature_repo.redis_connection import redis_errors, redis_options
from feature_repo.schema import PROJECT
from feature_repo.settings import SharedSettings

_ENTRIES, _COUNTER = f"{PROJECT}:{{availability}}:entries", f"{PROJECT}:{{availability}}:counter"
_PAGE = 10_000
"""Entries read in one go: a first read of very many holds neither Redis nor the gateway up."""

_SOCKET_TIMEOUT_SECONDS = 2.0

_NOTE = """
redis.call('HSETNX', KEYS[2], 'epoch', ARGV[1])
for at = 2, #ARGV, 2 do
  local entry = tonumber(redis.call('ZSCORE', KEYS[1], ARGV[at]) or '0')
  local gone = tonumber(ARGV[at + 1])
  if entry % 2 ~= gone then
    local number = redis.call('HINCRBY', KEYS[2], 'number', 1)
    redis.call('ZADD', KEYS[1], 2 * number + gone, ARGV[at])
  end
end
return 1
"""


class Page(NamedTuple):
    """Entries after a given one, oldest first, at most _PAGE of them."""

    epoch: str
    """Names the log; another name means that it was begun anew. Empty while there is none."""
    entries: Sequence[tuple[str, int]]


class AvailabilityReader:
    """Follows the log. For one event loop; methods but `close` raise OnlineStoreError and then change nothing."""

    def __init__(self, settings: SharedSettings) -> None:
        self._client = redis.asyncio.Redis.from_url(
            **redis_options(settings),
            socket_timeout=_SOCKET_TIMEOUT_SECONDS,
            socket_connect_timeout=_SOCKET_TIMEOUT_SECONDS,
            retry=Retry(NoBackoff(), 1),
            decode_responses=True,
        )
        self._epoch = ""
        self._newest = 0
        self._unavailable: set[str] = set()

    @property
    def unavailable(self) -> Set[str]:
        """Ids of the items not to be answered, as of the last refresh."""
        return self._unavailable

    async def refresh(self) -> None:
        """Read what has changed; nothing, nearly always, at the price of one round trip."""
        page = await self._page_after(self._newest)
        if page.epoch != self._epoch:
            await self._read_anew()
            return
        self._newest = _apply(page, self._unavailable, self._newest)
        while len(page.entries) == _PAGE:
            page = await self._page_after(self._newest)
            self._newest = _apply(page, self._unavailable, self._newest)

    async def is_unavailable(self, item_id: str) -> bool:
        """Of one item, asked right now."""
        return await self._entry_of(item_id) % 2 == 1

    async def close(self) -> None:
        """Give connections back."""
        await self._client.aclose()

    async def _read_anew(self) -> None:
        """What was known stays until the new log has been read to its end."""
        unavailable: set[str] = set()
        page = await self._page_after(0)
        epoch, newest = page.epoch, _apply(page, unavailable, 0)
        while len(page.entries) == _PAGE:
            page = await self._page_after(newest)
            newest = _apply(page, unavailable, newest)
        self._epoch, self._newest, self._unavailable = epoch, newest, unavailable

    async def _page_after(self, entry: int) -> Page:
        pipeline = self._client.pipeline(transaction=True)
        pipeline.hget(_COUNTER, "epoch")
        pipeline.execute_command("ZRANGE", _ENTRIES, f"({entry}", "+inf", "BYSCORE", "LIMIT", 0, _PAGE, "WITHSCORES")
        with redis_errors():
            epoch, found = await pipeline.execute()
        return Page(epoch or "", [(found[at], int(float(found[at + 1]))) for at in range(0, len(found), 2)])

    async def _entry_of(self, item_id: str) -> int:
        with redis_errors():
            return int(await self._client.zscore(_ENTRIES, item_id) or 0)


def _apply(page: Page, unavailable: set[str], newest: int) -> int:
    for item_id, entry in page.entries:
        if entry % 2:
            unavailable.add(item_id)
        else:
            unavailable.discard(item_id)
    return page.entries[-1][1] if page.entries else newest


def note_command(available: Mapping[str, bool]) -> Command:
    """The Redis command that notes whether items are available; an item that is as noted gets no new entry."""
    words = [word for item_id, flag in available.items() for word in (item_id, "0" if flag else "1")]
    return ("EVAL", _NOTE, 2, _ENTRIES, _COUNTER, secrets.token_hex(8), *words)
