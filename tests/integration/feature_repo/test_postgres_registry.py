"""Feast's registry in PostgreSQL, as a deployment has it: brought up to date by one process, read by the next."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import trustme
from feast import FeatureView
from sqlalchemy import URL

from feature_repo import definitions
from tests.support.ports import free_ports
from tests.support.postgres_server import Postgres, running_postgres

SHOW_VIEWS = """
from feature_repo.feature_store import open_feature_store
from feature_repo.settings import SharedSettings
print(*sorted(view.name for view in open_feature_store(SharedSettings()).list_feature_views()))
"""
APPLIED, UP_TO_DATE = "feature definitions applied\n", "feature definitions were up to date\n"
WRONG_PASSWORD = "hunter2"


@pytest.fixture(scope="module")
def postgres() -> Iterator[Postgres]:
    with running_postgres() as server:
        yield server


@pytest.fixture
def database(postgres: Postgres) -> Iterator[URL]:
    with postgres.database() as url:
        yield url


def start(url: URL, home: Path, *arguments: str, level: str = "DEBUG") -> "subprocess.Popen[str]":
    changes = {"NEXTCLICK_HOME": str(home), "REGISTRY_URL": spelled(url), "LOG_LEVEL": level}
    pipes: Any = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen([sys.executable, *arguments], env=os.environ | changes, **pipes)


def spelled(url: URL) -> str:
    """With the quotes as they are, which a URL may have."""
    return url.render_as_string(hide_password=False).replace("%27", "'")


def finish(process: "subprocess.Popen[str]", url: URL) -> "subprocess.CompletedProcess[str]":
    """How it ended, without the password in anything that it wrote."""
    with process:
        try:
            stdout, stderr = process.communicate(timeout=240)
        finally:
            process.kill()
    before_host = spelled(url).partition("@")[0]
    for password in (str(url.password), before_host.rpartition(":")[2]):
        assert password not in stdout + stderr
    return subprocess.CompletedProcess(process.args, process.returncode, stdout, stderr)


def migrate(url: URL, home: Path, level: str = "DEBUG") -> "subprocess.CompletedProcess[str]":
    return finish(start(url, home, "-m", "feature_repo", level=level), url)


def assert_refused(ended: "subprocess.CompletedProcess[str]") -> None:
    assert (ended.returncode, ended.stdout) == (1, "")
    (line,) = ended.stderr.splitlines()
    assert line.startswith("error: the registry at REGISTRY_URL cannot be used (OperationalError): ")


def test_processes_that_start_together_fill_it_and_others_find_every_view(database: URL, tmp_path: Path) -> None:
    migration = ("-m", "feature_repo")
    with start(database, tmp_path, *migration) as first, start(database, tmp_path, *migration) as second:
        for ended in (finish(first, database), finish(second, database)):
            assert ended.returncode == 0, ended.stderr
            assert ended.stdout in (APPLIED, UP_TO_DATE)

    later = migrate(database, tmp_path)
    shown = finish(start(database, tmp_path, "-c", SHOW_VIEWS), database)

    assert (later.returncode, later.stdout, later.stderr) == (0, UP_TO_DATE, "")
    views = sorted(value.name for value in vars(definitions).values() if isinstance(value, FeatureView))
    assert shown.stdout.split() == views, shown.stderr


def test_a_wrong_password_is_one_line(database: URL, tmp_path: Path) -> None:
    assert_refused(migrate(database.set(password=WRONG_PASSWORD), tmp_path, "INFO"))


def test_a_server_out_of_reach_is_one_line(database: URL, tmp_path: Path) -> None:
    assert_refused(migrate(database.set(port=free_ports(1)[0]), tmp_path, "INFO"))


def test_sslmode_and_sslrootcert_of_the_url_hold(postgres: Postgres, database: URL, tmp_path: Path) -> None:
    if postgres.authority is None:
        pytest.skip("whose certificate a server from elsewhere has is not known")
    stranger = tmp_path / "stranger.pem"
    trustme.CA().cert_pem.write_to_path(stranger)

    refused = migrate(verified_by(stranger, database), tmp_path, "INFO")
    accepted = migrate(verified_by(postgres.authority, database), tmp_path)

    assert_refused(refused)
    assert (accepted.returncode, accepted.stdout) == (0, APPLIED), accepted.stderr


def verified_by(authority: Path, url: URL) -> URL:
    return url.update_query_dict({"sslmode": "verify-full", "sslrootcert": str(authority)})
