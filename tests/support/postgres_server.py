"""A PostgreSQL for tests: the one that NEXTCLICK_POSTGRES_URL names, else Debian's programs with data of their own."""

import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import psycopg
import trustme
from psycopg import sql
from sqlalchemy import URL, make_url

from nextclick.stack.processes import tie_to_this_process
from tests.cluster.tools import skip_or_fail
from tests.support.ports import free_ports

ADDRESS = "NEXTCLICK_POSTGRES_URL"
"""SQLAlchemy URL of a user who logs in with a password and may create databases."""
START_SECONDS = 60

_PROGRAMS = Path("/usr/lib/postgresql")
_USER, _PASSWORD = "feast", "p@ss/wörd:%1'\""
_ACCOUNT = "postgres"
"""Whom Debian's package adds; PostgreSQL refuses to run as root."""


@dataclass(frozen=True)
class Postgres:
    """A running server."""

    url: URL
    authority: Path | None
    """Certificate that the server's leads to, where the server is ours: it is good for localhost."""

    @contextmanager
    def database(self) -> Iterator[URL]:
        """A new and empty one, dropped with the block."""
        name = f"nextclick_{uuid4().hex[:8]}"
        self._run(sql.SQL("CREATE DATABASE {}"), name)
        try:
            yield self.url.set(database=name)
        finally:
            self._run(sql.SQL("DROP DATABASE {} WITH (FORCE)"), name)

    def _run(self, statement: sql.SQL, name: str) -> None:
        with _connect(self.url) as connection:
            connection.execute(statement.format(sql.Identifier(name)))


@contextmanager
def running_postgres() -> Iterator[Postgres]:
    """The server; the test is skipped where there is none, or fails where NEXTCLICK_REQUIRE_CLUSTER is set."""
    if address := os.environ.get(ADDRESS):
        yield Postgres(make_url(address), None)
        return
    found = sorted(_PROGRAMS.glob("*/bin/postgres"), key=lambda path: int(path.parts[-3]))
    if not found:
        skip_or_fail(f"no PostgreSQL in {_PROGRAMS}: `apt-get install postgresql`, or set {ADDRESS}")
    # Not one of pytest's folders, which nobody but the user of the tests may enter.
    with tempfile.TemporaryDirectory(prefix="nextclick-postgres-", ignore_cleanup_errors=True) as folder:
        yield from _started(found[-1].parent, Path(folder))


def _started(programs: Path, folder: Path) -> Iterator[Postgres]:
    ca = trustme.CA()
    certificate = ca.issue_cert("localhost")
    ca.cert_pem.write_to_path(folder / "ca.pem")
    certificate.private_key_and_cert_chain_pem.write_to_path(folder / "server.pem")
    (folder / "password").write_text(_PASSWORD)
    (folder / "server.pem").chmod(0o600)
    account = _ACCOUNT if os.geteuid() == 0 else None
    if account is not None:
        for path in (folder, *folder.iterdir()):
            shutil.chown(path, account, account)
    data, (port,) = folder / "data", free_ports(1)
    made = [programs / "initdb", "--no-sync", "--encoding=UTF8", "--locale=C", "--auth=scram-sha-256"]
    made += [f"--username={_USER}", f"--pwfile={folder / 'password'}", f"--pgdata={data}"]
    subprocess.run(made, user=account, group=account, cwd=folder, stdout=subprocess.DEVNULL, timeout=60, check=True)
    options = {
        "port": port,
        "listen_addresses": "127.0.0.1",
        "unix_socket_directories": "",
        "fsync": "off",
        "ssl": "on",
        "ssl_cert_file": folder / "server.pem",
        "ssl_key_file": folder / "server.pem",
    }
    command = [programs / "postgres", "-D", data, *(f"--{name}={value}" for name, value in options.items())]
    url = URL.create("postgresql+psycopg", _USER, _PASSWORD, "localhost", port, "postgres")
    log = folder / "log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            command,
            user=account,
            group=account,
            cwd=folder,
            stdout=output,
            stderr=output,
            preexec_fn=tie_to_this_process(),
        )
    try:
        _wait_until_it_answers(url, process, log)
        yield Postgres(url, folder / "ca.pem")
    finally:
        process.send_signal(signal.SIGINT)  # without waiting for those who are connected
        with suppress(subprocess.TimeoutExpired):
            process.wait(20)
        process.kill()
        process.wait(10)


def _wait_until_it_answers(url: URL, process: "subprocess.Popen[bytes]", log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while not _answers(url):
        assert process.poll() is None, f"PostgreSQL ended:\n{log.read_text()}"
        assert time.monotonic() < deadline, f"PostgreSQL does not answer within {START_SECONDS} s:\n{log.read_text()}"
        time.sleep(0.1)


def _answers(url: URL) -> bool:
    try:
        _connect(url).close()
    except psycopg.OperationalError:
        return False
    return True


def _connect(url: URL) -> "psycopg.Connection[tuple[object, ...]]":
    address = url.set(drivername="postgresql").render_as_string(hide_password=False)
    return psycopg.connect(address, autocommit=True, connect_timeout=10)
