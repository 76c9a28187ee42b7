"""The gateway's copy of what is unavailable, on SQLite; Redis is held to the same in the integration tests."""

from pathlib import Path

import pytest

from feature_repo.errors import OnlineStoreError
from feature_repo.online import availability
from feature_repo.online.availability import AvailabilityReader, note_in_sqlite
from feature_repo.settings import SharedSettings
from serving.availability import Availability


@pytest.fixture
def settings(tmp_path: Path) -> SharedSettings:
    return SharedSettings(nextclick_home=tmp_path, redis_url="sqlite")


async def test_changes_are_followed(settings: SharedSettings) -> None:
    reader = AvailabilityReader(settings)
    await reader.refresh()
    assert reader.unavailable == set()
    for changes, expected in (
        ({"a": False, "b": False, "c": True}, {"a", "b"}),
        ({"a": True, "b": False}, {"b"}),
        ({"a": False}, {"a", "b"}),
        ({"a": True, "b": True}, set()),
    ):
        note_in_sqlite(settings, changes)
        await reader.refresh()
        assert reader.unavailable == expected
        late = AvailabilityReader(settings)
        await late.refresh()
        assert late.unavailable == expected


async def test_of_many_changes_none_is_lost(settings: SharedSettings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(availability, "_PAGE", 3)
    note_in_sqlite(settings, {str(number): False for number in range(10)})
    reader = AvailabilityReader(settings)
    await reader.refresh()
    note_in_sqlite(settings, {str(number): number % 2 == 0 for number in range(20)})
    await reader.refresh()
    assert reader.unavailable == {str(number) for number in range(1, 20, 2)}


async def test_what_does_not_change_leaves_no_entry(settings: SharedSettings) -> None:
    note_in_sqlite(settings, {"a": False, "b": True})
    reader = AvailabilityReader(settings)
    entries = [await reader._log.entry_of(item_id) for item_id in ("a", "b")]
    note_in_sqlite(settings, {"a": False, "b": True})
    assert entries == [await reader._log.entry_of(item_id) for item_id in ("a", "b")]
    assert [await reader.is_unavailable(item_id) for item_id in ("a", "b", "c")] == [True, False, False]


async def test_a_store_begun_anew_is_read_anew(settings: SharedSettings) -> None:
    note_in_sqlite(settings, {"a": False, "b": False, "c": False})
    reader = AvailabilityReader(settings)
    await reader.refresh()
    settings.sqlite_path.unlink()
    note_in_sqlite(settings, {"d": False})
    await reader.refresh()
    assert reader.unavailable == {"d"}


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
    known = Availability(Store(), 60.0)
    for _ in range(3):
        await known.refresh()
    assert known.unavailable == {"a"}
    assert len([entry for entry in caplog.records if "could not be read" in entry.message]) == 1
