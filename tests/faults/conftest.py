"""A broker for the tests of faults alone: they stop and restart what others could not do without."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from feature_repo.feature_store import apply
from streaming.settings import StreamingSettings
from tests.faults.own_servers import Server, kafka_server


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
