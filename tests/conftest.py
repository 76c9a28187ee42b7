"""The stack that integration and end-to-end tests share: started once for the whole run, ended with it."""

import logging
import os
import signal
from collections.abc import Iterator

import pytest

from nextclick.stack.addresses import Addresses
from tests.support.project import PROJECT, SET_BY_LIBRARIES


@pytest.fixture(scope="session", autouse=True)
def _environment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """State of the tests lies in a folder of their own; what `nextclick up` installs is shared with the checkout."""
    tools = os.environ.get("NEXTCLICK_TOOLS") or str(PROJECT / ".nextclick" / "tools")
    home = tmp_path_factory.mktemp("home")
    # A run in the background has SIGINT ignored, and so would every process that a test starts and interrupts.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NEXTCLICK_TOOLS", tools)
        patch.setenv("NEXTCLICK_HOME", str(home))
        patch.setenv("MODEL_REPOSITORY", str(home / "model_repository"))
        for name in ("ARCHIVE_PATH", "RUNS_PATH", "ITEMS_PATH", "REGISTRY_URL", *SET_BY_LIBRARIES):
            patch.delenv(name, raising=False)
        yield


@pytest.fixture(autouse=True)
def _log_levels() -> Iterator[None]:
    """A command line that a test runs sets levels for the whole process; the next test begins as if it had not."""
    before = {name: logger.level for name, logger in _loggers()}
    yield
    for name, logger in _loggers():
        logger.setLevel(before.get(name, logging.NOTSET))


def _loggers() -> list[tuple[str, logging.Logger]]:
    named = list(logging.root.manager.loggerDict.items())
    return [(name, logger) for name, logger in named if isinstance(logger, logging.Logger)]


@pytest.fixture(scope="session")
def stack(_environment: None) -> Iterator[Addresses]:
    """Kafka, Redis and Triton: the address in the environment, else started on free ports and ended with the run."""
    from nextclick.stack.lifecycle import down, up

    with up() as running:
        yield running.addresses
    down()
