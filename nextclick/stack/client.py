"""Speaks with the supervisor of a NEXTCLICK_HOME, and starts it when there is none."""

import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Self

from nextclick.stack import home as files
from nextclick.stack.errors import StackError, SupervisorGoneError
from nextclick.stack.services import ServiceSpec

_PROJECT_ROOT = Path(__file__).resolve().parents[2]
_CONNECT_SECONDS = 30.0
_ANSWER_SECONDS = 10.0
_STOP_SECONDS = 120.0


class SupervisorClient:
    """A connection to the supervisor. What is started through it ends when it closes, unless `keep` was called.

    With `start_supervisor=False` it raises SupervisorGoneError when none runs.
    """

    def __init__(self, home: Path, *, start_supervisor: bool = True) -> None:
        self.home = home
        self._lock = threading.Lock()
        deadline = time.monotonic() + _CONNECT_SECONDS
        while not self._connect():
            if not start_supervisor:
                raise SupervisorGoneError(f"no stack is running in {home}: run `nextclick up`")
            if time.monotonic() > deadline:
                raise StackError(f"no supervisor could be started; see {self._log()}")
            _start_supervisor(home)
            time.sleep(0.05)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def start(self, spec: ServiceSpec, seconds: float = _STOP_SECONDS) -> bool:
        """Runs a service; False when it runs already, which this client then holds as well.

        Waits up to `seconds` for one of that name that is just being ended.
        """
        deadline = time.monotonic() + seconds
        while "busy" in (answer := self._ask("start", service=spec.to_request())):
            if time.monotonic() > deadline:
                raise StackError(f"{answer['busy']} and does not end; see `nextclick status`")
            time.sleep(0.1)
        return bool(answer["started"])

    def hold(self, name: str) -> bool:
        """Makes a service that somebody has started last as long as this client; False when it does not run."""
        return bool(self._ask("hold", name=name)["held"])

    def ready(self, name: str) -> None:
        """Tells the supervisor that a service answers; from then on others find it in stack.json."""
        self._ask("ready", name=name)

    def stop(self, names: Iterable[str], seconds: float = _STOP_SECONDS) -> list[str]:
        """Ends services, whoever holds them, and waits until they are gone; those that ran."""
        return list(self._ask("stop", seconds, names=list(names))["stopped"])

    def status(self) -> dict[str, dict[str, Any]]:
        """Services: state (starting, ready, stopping, exited), pid, exit_code, address, variables, log, kept."""
        return dict(self._ask("status")["services"])

    def keep(self, names: Iterable[str]) -> None:
        """Lets services outlive this and every other client."""
        self._ask("keep", names=list(names))

    def shutdown(self, seconds: float = _STOP_SECONDS) -> list[str]:
        """Ends all services and the supervisor; the names of the services."""
        return list(self._ask("shutdown", seconds)["stopped"])

    def close(self) -> None:
        """Gives up the services that this client alone holds, and waits until they are gone.

        Should waiting fail or be interrupted, the supervisor ends them all the same.
        """
        try:
            self._ask("release", _STOP_SECONDS)
        except StackError:
            pass
        finally:
            self._disconnect()

    def _ask(self, operation: str, seconds: float = _ANSWER_SECONDS, **fields: Any) -> dict[str, Any]:
        with self._lock:
            try:
                self._socket.settimeout(seconds)
                self._socket.sendall(json.dumps({"op": operation, **fields}).encode() + b"\n")
                line = self._reader.readline()
            except TimeoutError as error:
                raise StackError(f"the supervisor does not answer within {seconds:.0f} s; see {self._log()}") from error
            except OSError as error:
                raise SupervisorGoneError(f"the supervisor has ended ({error}); see {self._log()}") from error
        if not line:
            raise SupervisorGoneError(f"the supervisor has ended; see {self._log()}")
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            raise StackError(answer["error"])
        return answer

    def _connect(self) -> bool:
        """Whether a supervisor answers; one that is just ending accepts connections, but no longer answers."""
        if not self.home.is_dir() or (connection := files.connect(self.home)) is None:
            return False
        self._socket, self._reader = connection, connection.makefile("rb")
        try:
            self.status()
        except SupervisorGoneError:
            self._disconnect()
            return False
        return True

    def _disconnect(self) -> None:
        self._reader.close()
        self._socket.close()

    def _log(self) -> Path:
        return files.log_path(self.home, "supervisor")


def _start_supervisor(home: Path) -> None:
    log_path = files.log_path(home, "supervisor")
    log_path.parent.mkdir(parents=True, exist_ok=True)
    argv = [sys.executable, "-m", "nextclick.stack.supervisor", "--home", str(home)]
    with log_path.open("ab") as log:
        # It returns once the supervisor listens, which then goes on in the background.
        subprocess.run(argv, cwd=_PROJECT_ROOT, stdin=subprocess.DEVNULL, stdout=log, stderr=log, check=False)
