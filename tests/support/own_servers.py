"""Servers of a test's own, which it may stop and start again, and processes that end with the test."""

import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Self

from nextclick.stack.kafka import Kafka
from nextclick.stack.parts import Part
from nextclick.stack.processes import tie_to_this_process
from nextclick.stack.readiness import wait
from nextclick.stack.redis import Redis
from nextclick.stack.settings import StackSettings

STOP_SECONDS = 60


class Process:
    """A program that can be started again and again; its output is added to one log."""

    def __init__(self, argv: Sequence[str], cwd: Path, env: Mapping[str, str], log: Path) -> None:
        self._argv, self._cwd, self._env = list(argv), cwd, dict(env)
        self.log = log
        self._log_start = 0
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """Of the running process."""
        assert self._process is not None
        return self._process.pid

    @property
    def is_running(self) -> bool:
        """Whether it was started and has not ended, by itself or by us."""
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """Returns at once."""
        assert not self.is_running
        with self.log.open("ab") as log:
            self._log_start = log.tell()
            self._process = subprocess.Popen(
                self._argv,
                cwd=self._cwd,
                env=self._env,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                preexec_fn=tie_to_this_process(),
            )

    def signal(self, number: signal.Signals) -> None:
        """Send a signal; fails if the process has ended by itself."""
        assert self._process is not None
        self.check()
        self._process.send_signal(number)

    def kill(self) -> None:
        """SIGKILL; returns once the process is gone."""
        assert self._process is not None
        self.signal(signal.SIGKILL)
        assert self._process.wait(STOP_SECONDS) == -signal.SIGKILL

    def stop(self) -> int:
        """SIGTERM; the exit status."""
        assert self._process is not None
        self.signal(signal.SIGTERM)
        return self._process.wait(STOP_SECONDS)

    def check(self) -> None:
        """Fail, with the end of the log, if it has ended by itself."""
        assert self.is_running, f"{self._argv} ended by itself, {self.log} ends so:\n{self.log_text()[-4000:]}"

    def log_text(self) -> str:
        """Output since the last start."""
        return self.log.read_bytes()[self._log_start :].decode(errors="replace")

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._process is not None:
            if self.is_running:
                self._process.kill()  # frozen or not
            self._process.wait(STOP_SECONDS)


class Server(Process):
    """One of the stack's servers, on ports and with data of its own, which a restart keeps."""

    def __init__(self, part: Part) -> None:
        service = part.service()
        service.log.parent.mkdir(parents=True, exist_ok=True)
        env = {name: value for name, value in service.env.items() if not name.startswith("NEXTCLICK_")}
        super().__init__(service.argv, service.cwd, env, service.log)
        self.address = service.address
        self._part = part

    def start(self) -> None:
        """Returns once the server answers."""
        super().start()
        wait(self._look, self._part.ready_seconds)

    def _look(self) -> None:
        self.check()
        self._part.check(self.address)


def kafka_server(home: Path) -> Server:
    """A broker with its data in `home`, to be entered."""
    return Server(Kafka(_settings(home)))


def redis_server(home: Path) -> Server:
    """A Redis with its data in `home`, to be entered."""
    return Server(Redis(_settings(home)))


def wait_until(what: str, is_true: Callable[[], bool], processes: Sequence[Process] = (), seconds: float = 60) -> None:
    """Return once `is_true`; fail after `seconds`, or once one of the processes has ended by itself."""
    deadline = time.monotonic() + seconds
    while not is_true():
        for process in processes:
            process.check()
        assert time.monotonic() < deadline, f"waited {seconds} s for: {what}"
        time.sleep(0.05)


def _settings(home: Path) -> StackSettings:
    return StackSettings(nextclick_home=home, nextclick_tools=Path(os.environ["NEXTCLICK_TOOLS"]))
