"""A broker for the tests of faults alone: they stop and restart what others could not do without."""

from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from uuid import uuid4

import pytest

from feature_repo.feature_store import apply
from streaming.settings import StreamingSettings
from tests.faults.scene import MAX_POLL_MS, Scene, SceneMaker
from tests.faults.stages import stage_settings
from tests.support.own_servers import Server, kafka_server, redis_server
from tests.support.planted_stream import Message


@pytest.fixture(scope="session")
def broker(_environment: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Kafka, which a test may restart and leaves running."""
    with kafka_server(tmp_path_factory.mktemp("broker")) as server:
        yield server


@pytest.fixture(scope="session")
def definitions(_environment: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A NEXTCLICK_HOME whose registry is up to date, so that a consumer starts within a second."""
    home = tmp_path_factory.mktemp("definitions")
    apply(StreamingSettings(nextclick_home=home))
    return home


@pytest.fixture
def scene_of(broker: Server, definitions: Path, tmp_path: Path) -> Iterator[SceneMaker]:
    """Makes the scene of a stream."""
    name = uuid4().hex[:8]
    with ExitStack() as stack:
        store = stack.enter_context(redis_server(tmp_path))

        def make(messages: list[Message]) -> Scene:
            others = {"events_topic": f"events-{name}", "max_poll_interval_ms": MAX_POLL_MS, "consumer_batch_size": 200}
            settings = stage_settings(broker, store, definitions, name, **others)
            return stack.enter_context(closing(Scene(settings, store, messages, tmp_path)))

        yield make
