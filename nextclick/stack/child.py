"""One supervised process: started as leader of a session of its own, ended together with all of its group."""

import glob
import os
import signal
import subprocess
import time
from contextlib import suppress
from pathlib import Path

from nextclick.stack.processes import MARK, identity, tie_to_this_process
from nextclick.stack.services import ServiceSpec


class Child:
    """A running (or ended) service. Signals reach the leader first; what is left of its group is killed after it."""

    def __init__(self, spec: ServiceSpec, home: Path) -> None:
        self.spec = spec
        self.ready = False
        self.exit_code: int | None = None
        self.stopping = False
        self._kill_at: float | None = None
        self._gone = False
        self._process = _spawn(spec, home)
        self.pid = self._process.pid
        self.identity = identity(self.pid)

    @property
    def gone(self) -> bool:
        """Whether neither the leader nor anything else of its group is left."""
        # Once it is, the group's number may become somebody else's: never ask again.
        self._gone = self._gone or (self.exit_code is not None and not _signal_group(self.pid, 0))
        return self._gone

    @property
    def state(self) -> str:
        """One of starting, ready, stopping, exited."""
        if self.exit_code is not None:
            return "exited"
        if self.stopping:
            return "stopping"
        return "ready" if self.ready else "starting"

    def terminate(self) -> None:
        """Asks the leader to end; does nothing when it has been asked already."""
        if self._kill_at is None and self.exit_code is None:
            self._kill_at = time.monotonic() + self.spec.stop_seconds
            os.kill(self.pid, signal.SIGTERM)

    def kill_when_late(self) -> None:
        """Kills the group once its time to end by itself is over."""
        if self._kill_at is not None and time.monotonic() > self._kill_at:
            _signal_group(self.pid, signal.SIGKILL)

    def collect(self) -> None:
        """Takes the exit status of a leader known to have ended, after killing the rest of its group.

        The order matters: until its status is taken, the leader's pid cannot name another group.
        """
        _signal_group(self.pid, signal.SIGKILL)
        self.exit_code = self._process.wait()

    def tidy(self) -> None:
        """Removes the files that the service may have left; call it when the service is gone."""
        for path in glob.glob(self.spec.residue):
            with suppress(OSError):
                os.unlink(path)


def _spawn(spec: ServiceSpec, home: Path) -> "subprocess.Popen[bytes]":
    spec.log.parent.mkdir(parents=True, exist_ok=True)
    with spec.log.open("wb") as log:
        return subprocess.Popen(
            spec.argv,
            cwd=spec.cwd,
            env={**spec.env, MARK: str(home)},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            preexec_fn=tie_to_this_process(),
        )


def _signal_group(group: int, number: int) -> bool:
    """Whether the group had a member to signal."""
    try:
        os.killpg(group, number)
    except ProcessLookupError:
        return False
    return True
