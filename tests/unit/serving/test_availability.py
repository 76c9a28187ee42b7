"""What the gateway does while the log of availability cannot be read."""

import pytest

from feature_repo.errors import OnlineStoreError
from serving.availability import Availability


class Store:
    """Fails from its second refresh on."""

    def __init__(self) -> None:
        self.unavailable: set[str] = set()
        self.refreshes = 0

    async def refresh(self) -> None:
        self.refreshes += 1
        if self.refreshes > 1:
            raise OnlineStoreError("away")
        self.unavailable = {"a"}


async def test_what_was_known_stays_while_the_store_is_away(caplog: pytest.LogCaptureFixture) -> None:
    known = Availability(Store())
    for _ in range(3):
        await known.refresh()
    assert known.unavailable == {"a"}
    assert len([entry for entry in caplog.records if "could not be read" in entry.message]) == 1
