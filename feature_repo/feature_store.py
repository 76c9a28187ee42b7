"""Opens Feast with our settings and keeps its registry up to date with `definitions.py`."""

import ctypes
import hashlib
import json
import logging
import os
import signal
import string
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING

from feature_repo.errors import RegistryError
from feature_repo.redis_connection import feast_connection_string
from feature_repo.schema import PROJECT
from feature_repo.settings import SharedSettings
from runtime.environment import environment_kept

if TYPE_CHECKING:
    from feast import FeatureStore
    from sqlalchemy import Engine, Table

log = logging.getLogger(__name__)

_FOLDER = Path(__file__).parent
_DEFINING_FILES = ("schema.py", "views.py", "definitions.py")
_APPLY_ATTEMPTS = 5
_PR_SET_PDEATHSIG = 1


def feast_environment(settings: SharedSettings) -> dict[str, str]:
    """Variables that `feature_store.yaml` refers to. They may hold passwords."""
    return {
        "REGISTRY_URL": settings.registry_url.get_secret_value(),
        "FEAST_ONLINE_STORE": json.dumps({"type": "redis", "connection_string": feast_connection_string(settings)}),
    }


def open_feature_store(settings: SharedSettings) -> "FeatureStore":
    """The store that `feature_store.yaml` describes. Importing Feast takes seconds the first time in a process."""
    import yaml

    quieten_dask()
    with environment_kept():
        from feast import FeatureStore, RepoConfig

    settings.nextclick_home.mkdir(parents=True, exist_ok=True)
    environment = feast_environment(settings)
    # It stands in single quotes there, and YAML reads two of them as one.
    environment["REGISTRY_URL"] = environment["REGISTRY_URL"].replace("'", "''")
    text = string.Template((_FOLDER / "feature_store.yaml").read_text()).substitute(environment)
    return FeatureStore(config=RepoConfig(**yaml.safe_load(text), repo_path=_FOLDER))


def quieten_dask() -> None:
    """Feast imports Dask's old data frames, which print a page about it; nothing here uses them."""
    import dask

    dask.config.set({"dataframe.query-planning-warning": False})


def apply(settings: SharedSettings, store: "FeatureStore | None" = None) -> bool:
    """Bring the registry up to date with `definitions.py`; True if anything had to be done.

    What is up to date costs one query and no import of Feast. Processes that start together may race: all but one
    see its result. Raises RegistryError when the registry cannot be used.
    """
    from sqlalchemy.exc import SQLAlchemyError

    settings.nextclick_home.mkdir(parents=True, exist_ok=True)
    for attempt in range(1, _APPLY_ATTEMPTS + 1):
        try:
            return _apply_once(settings, store)
        except ModuleNotFoundError as error:
            raise RegistryError(
                f"{error.name} is not installed here: REGISTRY_URL names a database that needs it"
            ) from error
        except SQLAlchemyError as error:
            kind = type(error).__name__  # its text may repeat the URL with the password in it
            if attempt == _APPLY_ATTEMPTS:
                raise RegistryError(
                    f"the registry at REGISTRY_URL cannot be used ({kind}): "
                    "is its database up, and does it let this user in?"
                ) from error
            log.debug("registry busy, attempt %d: %s", attempt, kind)
            time.sleep(0.3 * attempt)
    raise AssertionError("unreachable")


def _apply_once(settings: SharedSettings, store: "FeatureStore | None") -> bool:
    import sqlalchemy

    engine = sqlalchemy.create_engine(settings.registry_url.get_secret_value())
    try:
        table, digest = _applied_table(engine), _definitions_digest(settings)
        with engine.connect() as connection:
            applied = connection.scalar(sqlalchemy.select(table.c.digest).where(table.c.project == PROJECT))
        if applied == digest:
            return False
        started = time.monotonic()
        if store is not None:
            _apply_definitions(store)
        else:
            _apply_in_child(settings)
        with engine.begin() as connection:
            connection.execute(sqlalchemy.delete(table).where(table.c.project == PROJECT))
            connection.execute(sqlalchemy.insert(table).values(project=PROJECT, digest=digest))
        log.info("feature definitions applied in %.1f s", time.monotonic() - started)
        return True
    finally:
        engine.dispose()


def _apply_in_child(settings: SharedSettings) -> None:
    """Feast and what it imports hold 600 MB, which a consumer should not carry for the rest of its life."""
    with ProcessPoolExecutor(1, get_context("spawn"), _end_with_parent, (os.getpid(),)) as child:
        # A terminal sends its interrupt to the child, too, which would print a traceback: the parent decides.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            applied = child.submit(_open_and_apply, settings)
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
        applied.result()


def _end_with_parent(parent: int) -> None:
    """Have the kernel kill this process once its parent is gone. A worker of a pool would wait for work for ever."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        os.kill(os.getpid(), signal.SIGKILL)


def _open_and_apply(settings: SharedSettings) -> None:
    _lighten_feast()
    _apply_definitions(open_feature_store(settings))


def _lighten_feast() -> None:
    """More than half of Feast's import is PyTorch, where that is installed, and what typeguard prepares to check every
    call. A process that only applies definitions and ends needs neither."""
    import typeguard

    sys.modules["torch"] = None  # type: ignore[assignment]  # Python's way to say that there is none
    vars(typeguard)["typechecked"] = lambda target=None, **_: target or (lambda decorated: decorated)


def _apply_definitions(store: "FeatureStore") -> None:
    with environment_kept():
        from feast import Entity, FeatureService, FeatureView, FileSource, PushSource

    from feature_repo import definitions

    kinds = (Entity, FileSource, PushSource, FeatureView, FeatureService)
    store.apply([value for value in vars(definitions).values() if isinstance(value, kinds)])


def _applied_table(engine: "Engine") -> "Table":
    """Our own table beside Feast's: the digest of the definitions last applied."""
    from sqlalchemy import Column, MetaData, String, Table

    columns = (Column("project", String(255), primary_key=True), Column("digest", String(64), nullable=False))
    table = Table("nextclick_applied_definitions", MetaData(), *columns)
    table.create(engine, checkfirst=True)
    return table


def _definitions_digest(settings: SharedSettings) -> str:
    """Everything that a change of the definitions would change."""
    parts = [(_FOLDER / name).read_bytes() for name in _DEFINING_FILES]
    parts.append(str(settings.archive_path).encode())
    return hashlib.sha256(b"\0".join(parts)).hexdigest()
