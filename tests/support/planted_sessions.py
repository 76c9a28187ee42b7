"""Sessions whose next item is certain: walks around a ring of items, by one or by two at a time.

The step shows only from two events on, so the last item alone (co-visitation) is right half the time, while a model
that reads the session is always right.
"""

import random
import shutil
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from feature_repo.archive.columns import events_to_table, items_to_table
from feature_repo.schema import Event, EventType, Item
from training.config import recipe
from training.settings import TrainingSettings
from training.train import train

RING = [f"item-{letter}" for letter in "abcdefghijklmnop"]
START_MS = 1_700_000_000_000
HOUR_MS = 3_600_000


def next_on_ring(history: list[str]) -> str:
    """The item that certainly comes after these. There must be two of them."""
    before, last = (RING.index(item_id) for item_id in history[-2:])
    return RING[(2 * last - before) % len(RING)]


def planted_events(sessions: int = 400, seed: int = 3) -> list[Event]:
    """Walks of 4 to 8 events, an hour apart; never more than once around."""
    rng = random.Random(seed)
    events = []
    for number in range(sessions):
        place, step = rng.randrange(len(RING)), rng.choice((1, 2))
        at = START_MS + number * HOUR_MS
        for i in range(rng.randint(4, 8)):
            item_id = RING[(place + i * step) % len(RING)]
            at += rng.choice((2_000, 40_000))
            event_type = rng.choice((EventType.VIEW, EventType.PURCHASE))
            events.append(Event(f"{number}-{i}", event_type, f"session-{number}", item_id, at))
    return events


def write_archive(settings: TrainingSettings, events: list[Event]) -> None:
    """Put events and catalogue where training reads them, in two files that overlap, as after a replay."""
    folder = settings.archive_path / "event_date=2023-11-14"
    folder.mkdir(parents=True)
    middle = len(events) // 2
    pq.write_table(events_to_table(events[: middle + 50]), folder / "a.parquet")
    pq.write_table(events_to_table(events[middle:]), folder / "b.parquet")
    items = [Item(item_id, category=f"group-{i % 3}", price=1.0 + i if i else None) for i, item_id in enumerate(RING)]
    pq.write_table(items_to_table(items), settings.items_path)


def planted_settings(factory: pytest.TempPathFactory) -> TrainingSettings:
    """Settings of a home of the caller's own that holds the planted archive and a trained run of recipe `tiny`.

    It is a copy: training happens once a process, however many modules ask, and none sees what another writes.
    """
    original = _settings(factory.getbasetemp() / "planted")
    if not original.archive_path.exists():
        write_archive(original, planted_events())
        train(recipe("tiny"), original)
    return _settings(shutil.copytree(original.nextclick_home, factory.mktemp("planted-copy") / "home"))


def _settings(home: Path) -> TrainingSettings:
    return TrainingSettings(nextclick_home=home, model_repository=home / "model_repository", device="cpu")
