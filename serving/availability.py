"""Keeps the gateway's knowledge of items that must not be answered a fraction of a second old."""

import asyncio
import logging
from collections.abc import Set
from typing import Protocol

from feature_repo.errors import OnlineStoreError

log = logging.getLogger(__name__)
_READ_TIMEOUT_SECONDS = 30.0
"""For a first read of very many items; nearly every other one takes a millisecond."""


class AvailabilityStore(Protocol):
    """The part of `AvailabilityReader` that is needed here."""

    @property
    def unavailable(self) -> Set[str]: ...

    async def refresh(self) -> None: ...


class Availability:
    """Follows the catalogue; what was known last stays while the store is away."""

    def __init__(self, store: AvailabilityStore) -> None:
        self._store = store
        self._reachable: bool | None = None

    @property
    def unavailable(self) -> Set[str]:
        """Ids of items not to be answered, at hand without waiting."""
        return self._store.unavailable

    async def refresh(self) -> None:
        """Read once; a store that does not answer is logged when that begins and when it ends."""
        try:
            async with asyncio.timeout(_READ_TIMEOUT_SECONDS):
                await self._store.refresh()
        except (OnlineStoreError, TimeoutError) as error:
            if self._reachable is not False:
                log.warning("availability could not be read, keeping what is known: %r", error)
            self._reachable = False
            return
        if self._reachable is not True:
            log.info("%d items are unavailable", len(self.unavailable))
        self._reachable = True
