"""Servers of a test's own, which it may stop and start again."""

import os
from pathlib import Path

from nextclick.stack.kafka import Kafka
from nextclick.stack.parts import Part
from nextclick.stack.readiness import wait
from nextclick.stack.redis import Redis
from nextclick.stack.settings import StackSettings
from tests.support.programs import Process
from tests.support.waiting import LIMIT_SECONDS


class Server(Process):
    """One of the stack's servers, on ports and with data of its own, which a restart keeps."""

    def __init__(self, part: Part) -> None:
        service = part.service()
        service.log.parent.mkdir(parents=True, exist_ok=True)
        env = {name: value for name, value in service.env.items() if not name.startswith("NEXTCLICK_")}
        super().__init__(service.argv, service.log, env, service.cwd)
        self.address = service.address
        self._part = part

    def start(self) -> None:
        """Returns once the server answers."""
        super().start()
        wait(self._look, LIMIT_SECONDS)

    def _look(self) -> None:
        self.check()
        self._part.check(self.address)


def kafka_server(home: Path) -> Server:
    """A broker with its data in `home`, to be entered."""
    return Server(Kafka(_settings(home)))


def redis_server(home: Path) -> Server:
    """A Redis with its data in `home`, to be entered."""
    return Server(Redis(_settings(home)))


def _settings(home: Path) -> StackSettings:
    return StackSettings(nextclick_home=home, nextclick_tools=Path(os.environ["NEXTCLICK_TOOLS"]))
