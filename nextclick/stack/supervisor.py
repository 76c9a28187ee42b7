"""The one process of a NEXTCLICK_HOME that owns its services. What a client started ends with the client's connection,
unless it said `keep`; when no service and no client is left, the supervisor ends as well.

Requests and answers are JSON objects, one a line; the `op` of a request names one of the `_on_` methods below.
"""

import argparse
import json
import os
import selectors
import signal
import socket
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from nextclick.stack import home as files
from nextclick.stack.child import Child
from nextclick.stack.connection import Connection
from nextclick.stack.leftovers import kill_remaining
from nextclick.stack.processes import become_subreaper, identity
from nextclick.stack.services import ServiceSpec

_FIRST_CLIENT_SECONDS = 10.0
_TICK_SECONDS = 0.05
KEPT = 0
"""Stands among the holders of a service for the user who asked to keep it; connections are numbered from 1."""


class Supervisor:
    """Serves requests, one at a time and all in the main thread: the kernel ties children to the thread that forks."""

    def __init__(self, home: Path, listener: socket.socket) -> None:
        self._home = home
        self._listener = listener
        self._children: dict[str, Child] = {}
        self._holders: dict[str, set[int]] = {}
        self._waiting: list[tuple[Connection, frozenset[str]]] = []
        self._connections = dict[int, Connection]()
        self._accepted = 0
        self._closing = False
        self._selector = selectors.DefaultSelector()
        self._wake_receiver, self._wake_sender = socket.socketpair()
        self._first_client_until = time.monotonic() + _FIRST_CLIENT_SECONDS

    def run(self) -> None:
        """Serves until nothing is left to do."""
        self._prepare()
        self._publish()
        while not self._finished():
            for key, _ in self._selector.select(self._timeout()):
                key.data()
            self._advance()
        self._listener.close()
        files.remove_state(self._home)

    def _prepare(self) -> None:
        become_subreaper()
        for end in (self._wake_receiver, self._wake_sender, self._listener):
            end.setblocking(False)
        signal.set_wakeup_fd(self._wake_sender.fileno())
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: self._shut_down())
        self._selector.register(self._listener, selectors.EVENT_READ, self._accept)
        self._selector.register(self._wake_receiver, selectors.EVENT_READ, lambda: self._wake_receiver.recv(4096))

    def _timeout(self) -> float | None:
        ending = (child for child in self._children.values() if child.stopping or child.exit_code is not None)
        if self._waiting or any(not child.gone for child in ending):
            return _TICK_SECONDS
        return None if self._accepted or self._children else 1.0

    def _finished(self) -> bool:
        if self._waiting or any(not child.gone for child in self._children.values()):
            return False
        if self._closing:
            return True
        return not self._connections and (self._accepted > 0 or time.monotonic() > self._first_client_until)

    # --- clients ----------------------------------------------------------------------------------------------

    def _accept(self) -> None:
        try:
            peer, _ = self._listener.accept()
        except BlockingIOError:
            return
        self._accepted += 1
        connection = Connection(self._accepted, peer)
        self._connections[connection.number] = connection
        self._selector.register(peer, selectors.EVENT_READ, lambda: self._receive(connection))
        if connection.pidfd is not None:
            self._selector.register(connection.pidfd, selectors.EVENT_READ, lambda: self._drop(connection))

    def _receive(self, connection: Connection) -> None:
        if connection.number not in self._connections:
            return
        requests = connection.receive()
        for line in requests or ():
            self._answer(connection, line)
        if requests is None:
            self._drop(connection)

    def _drop(self, connection: Connection) -> None:
        if self._connections.pop(connection.number, None) is None:
            return
        for end in connection.ends():
            self._selector.unregister(end)
        connection.close()
        self._release(connection)

    def _release(self, connection: Connection) -> frozenset[str]:
        """Ends what only this client held."""
        given_up = frozenset(name for name, holders in self._holders.items() if holders == {connection.number})
        for name, holders in self._holders.items():
            holders.discard(connection.number)
            self._children[name].stopping |= name in given_up
        return given_up

    def _answer(self, connection: Connection, line: bytes) -> None:
        try:
            request = json.loads(line)
            handle = getattr(self, f"_on_{request.pop('op')}")
            answer = handle(connection, **request)
        except Exception as error:  # a client's mistake must not end everybody's services
            answer = {"error": f"{type(error).__name__}: {error}"}
        if answer is not None:
            connection.send(answer)

    # --- requests ---------------------------------------------------------------------------------------------

    def _on_start(self, connection: Connection, service: dict[str, Any]) -> dict[str, Any]:
        spec = ServiceSpec.from_request(service)
        child = self._children.get(spec.name)
        if self._closing or (child and (child.stopping or child.exit_code is not None) and not child.gone):
            return {"busy": f"{spec.name} is being ended"}
        started = child is None or child.exit_code is not None
        if started:
            self._children[spec.name] = Child(spec, self._home)
            self._holders[spec.name] = set()
        self._holders[spec.name].add(connection.number)
        self._publish()
        return {"started": started}

    def _on_hold(self, connection: Connection, name: str) -> dict[str, Any]:
        child = self._children.get(name)
        held = child is not None and not child.stopping and child.exit_code is None
        if held:
            self._holders[name].add(connection.number)
        return {"held": held}

    def _on_ready(self, connection: Connection, name: str) -> dict[str, Any]:
        self._children[name].ready = True
        self._publish()
        return {}

    def _on_keep(self, connection: Connection, names: list[str]) -> dict[str, Any]:
        for name in names:
            self._holders[name].add(KEPT)
        self._publish()
        return {}

    def _on_status(self, connection: Connection) -> dict[str, Any]:
        return {"services": self._describe_all()}

    def _on_stop(self, connection: Connection, names: list[str]) -> None:
        present = frozenset(names) & self._children.keys()
        for name in present:
            self._children[name].stopping = True
        self._waiting.append((connection, present))

    def _on_release(self, connection: Connection) -> None:
        self._waiting.append((connection, self._release(connection)))

    def _on_shutdown(self, connection: Connection) -> None:
        self._shut_down()
        self._on_stop(connection, list(self._children))

    def _shut_down(self) -> None:
        self._closing = True
        for child in self._children.values():
            child.stopping = True

    # --- children ---------------------------------------------------------------------------------------------

    def _advance(self) -> None:
        """Moves every service that is to end one step further, and answers those who wait for that."""
        self._reap()
        alive = [child for child in self._children.values() if child.stopping and not child.gone]
        for child in alive:
            if not any(other.spec.tier > child.spec.tier for other in alive):
                child.terminate()
            child.kill_when_late()
        self._forget(name for name, child in list(self._children.items()) if child.stopping and child.gone)
        for waiting in [waiting for waiting in self._waiting if not waiting[1] & self._children.keys()]:
            self._waiting.remove(waiting)
            waiting[0].send({"stopped": sorted(waiting[1])})

    def _reap(self) -> None:
        by_pid = {child.pid: child for child in self._children.values() if child.exit_code is None}
        while (pid := _ended_child()) is not None:
            if pid in by_pid:
                by_pid[pid].collect()
                self._publish()
            else:
                os.waitpid(pid, 0)

    def _forget(self, names: Iterable[str]) -> None:
        for name in names:
            self._children[name].tidy()
            del self._children[name], self._holders[name]
            self._publish()

    def _publish(self) -> None:
        pid = os.getpid()
        supervisor = {"pid": pid, "identity": identity(pid)}
        files.write_state(self._home, {"supervisor": supervisor, "services": self._describe_all()})

    def _describe_all(self) -> dict[str, dict[str, Any]]:
        return {name: self._describe(child) for name, child in self._children.items()}

    def _describe(self, child: Child) -> dict[str, Any]:
        return {
            "state": child.state,
            "pid": child.pid,
            "identity": child.identity,
            "exit_code": child.exit_code,
            "address": child.spec.address,
            "variables": dict(child.spec.variables),
            "log": str(child.spec.log),
            "kept": KEPT in self._holders.get(child.spec.name, ()),
        }


def _ended_child() -> int | None:
    """Pid of a child that has ended and whose status nobody has taken yet."""
    try:
        result = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return None
    return None if result is None else result.si_pid


def main() -> int:
    """Becomes the supervisor of a home, in the background once its socket listens; does nothing when there is one."""
    parser = argparse.ArgumentParser(prog="nextclick.stack.supervisor", description=__doc__)
    parser.add_argument("--home", type=Path, required=True)
    home: Path = parser.parse_args().home.resolve()
    home.mkdir(parents=True, exist_ok=True)
    if files.try_lock(home) is None:
        return 0
    kill_remaining(home)
    listener = files.listen(home)
    if os.fork() == 0:
        os.setsid()
        Supervisor(home, listener).run()
    return 0


if __name__ == "__main__":
    sys.exit(main())
