"""Programs that a test starts: they end with the test, and what they have said is shown when it fails."""

import os
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from signal import SIGKILL, SIGTERM, Signals
from typing import Self

from nextclick.stack.processes import tie_to_this_process
from tests.support.project import PROJECT
from tests.support.waiting import LIMIT_SECONDS

_SHOWN_CHARACTERS = 10_000


class Process:
    """A program that can be started again and again; its output is added to one log."""

    def __init__(
        self, argv: Sequence[str], log: Path, env: Mapping[str, str] | None = None, cwd: Path = PROJECT
    ) -> None:
        self._argv, self._cwd, self._env = list(argv), cwd, dict(os.environ if env is None else env)
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

    def signal(self, number: Signals) -> None:
        """Send a signal; fails if the process has ended by itself."""
        assert self._process is not None
        self.check()
        self._process.send_signal(number)

    def kill(self) -> None:
        """SIGKILL; returns once the process is gone."""
        self.signal(SIGKILL)
        assert self.wait() == -SIGKILL

    def stop(self, number: Signals = SIGTERM) -> int:
        """The exit status after a signal."""
        self.signal(number)
        return self.wait()

    def wait(self) -> int:
        """The exit status, once it ends by itself."""
        assert self._process is not None
        return self._process.wait(LIMIT_SECONDS)

    def check(self) -> None:
        """Fail, with the end of the log, if it has ended by itself."""
        assert self.is_running, f"{self._argv} ended by itself, {self.log} ends so:\n{self._end_of_log()}"

    def log_text(self) -> str:
        """Output since the last start."""
        return self.log.read_bytes()[self._log_start :].decode(errors="replace")

    def _end_of_log(self) -> str:
        return self.log_text()[-_SHOWN_CHARACTERS:]

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, failed: object, *_: object) -> None:
        if self._process is not None:
            if self.is_running:
                self._process.kill()  # frozen or not
            self._process.wait(LIMIT_SECONDS)
        if failed:
            print(f"--- {self._argv}, {self.log} ends so:\n{self._end_of_log()}")
