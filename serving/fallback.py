"""The popular items, kept at hand so that a degraded answer waits for nothing."""

import asyncio
import logging
from collections.abc import Sequence
from typing import Protocol

from feature_repo.errors import OnlineStoreError
from serving.recommendation import ScoredItem

log = logging.getLogger(__name__)
_EMPTY_REFRESH_SECONDS = 1.0
_READ_TIMEOUT_SECONDS = 5.0


class PopularStore(Protocol):
    """The part of `OnlineStoreReader` that is needed here."""

    async def read_popular_items(self) -> list[ScoredItem]: ...


class PopularItems:
    """A copy of the online store's popular items, best first; the last good one stays when the store is away."""

    def __init__(self, store: PopularStore, refresh_seconds: float) -> None:
        self._store = store
        self._refresh_seconds = refresh_seconds
        self._empty_refresh_seconds = min(refresh_seconds, _EMPTY_REFRESH_SECONDS)
        self._items: Sequence[ScoredItem] = ()
        self._reachable: bool | None = None
        self.was_read = False

    @property
    def items(self) -> Sequence[ScoredItem]:
        return self._items

    async def refresh(self) -> None:
        """Read once; a store that does not answer is logged when that begins and when it ends."""
        try:
            async with asyncio.timeout(_READ_TIMEOUT_SECONDS):
                self._items = await self._store.read_popular_items()
        except (OnlineStoreError, TimeoutError) as error:
            if self._reachable is not False:
                log.warning("popular items could not be read, keeping %d: %r", len(self._items), error)
            self._reachable = False
            return
        if self._reachable is not True:
            log.info("read %d popular items", len(self._items))
        self._reachable = self.was_read = True

    def pause(self) -> float:
        """Seconds until the next refresh: fewer while there is nothing to answer with."""
        return self._refresh_seconds if self._items else self._empty_refresh_seconds
