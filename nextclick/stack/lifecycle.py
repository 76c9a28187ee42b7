"""Brings the stack up, tells how it is, takes it down: what the verbs `up`, `status` and `down` do."""

import shlex
from collections.abc import Callable, Iterable
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Self

from pydantic import SecretStr

from feature_repo.feature_store import feast_environment
from nextclick.stack import home as files
from nextclick.stack.addresses import Addresses, find_addresses
from nextclick.stack.client import SupervisorClient
from nextclick.stack.errors import NotReadyError, StackError, SupervisorGoneError
from nextclick.stack.install import one_at_a_time
from nextclick.stack.kafka import Kafka
from nextclick.stack.leftovers import kill_remaining
from nextclick.stack.parts import Part
from nextclick.stack.processes import wait_gone
from nextclick.stack.readiness import wait, wait_for_service
from nextclick.stack.redis import Redis
from nextclick.stack.settings import StackSettings
from nextclick.stack.triton import Triton, remove_shared_memory

PARTS = ("kafka", "redis", "triton")
EXTERNAL = "external"

Progress = Callable[[str, str], None]
"""Is told the name of a part and, in a few words, what is being done with it."""

_CHECK_SECONDS = 10.0
_SUPERVISOR_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Row:
    """One line of `nextclick status`; `pid` is None for a part that is not run from here."""

    name: str
    state: str
    address: str = field(default="", repr=False)
    pid: int | None = None
    log: Path | None = None


class Stack:
    """A stack that is up. What this process started ends when it closes or dies, unless `keep` was called."""

    def __init__(self, addresses: Addresses, client: SupervisorClient, names: tuple[str, ...]) -> None:
        self.addresses = addresses
        self.client = client
        """Starts further services beside the servers."""
        self._names = names

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def keep(self) -> None:
        """Lets the servers run on after this process; `down` ends them."""
        self.client.keep(self._names)

    def close(self) -> None:
        """Ends what this process started and nobody else holds, and waits for that."""
        self.client.close()


def up(parts: Iterable[str] | None = None, *, progress: Progress = lambda part, doing: None) -> Stack:
    """Starts the parts that the environment gives no address of, and checks the others.

    Parts that run already are used as they are. Raises StackError when one does not become ready in time; what had
    been started by then is ended.
    """
    settings = StackSettings()
    wanted = [part for part in _parts(settings) if part.name in _checked_names(parts)]
    for part in wanted:
        if outside := _outside(settings, part):
            progress(part.name, "checking")
            _wait_external(part, outside)
    ours = [part for part in wanted if not _outside(settings, part)]
    with ExitStack() as on_failure:
        client = on_failure.enter_context(SupervisorClient(settings.nextclick_home))
        _start(client, ours, progress)
        on_failure.pop_all()
    return Stack(find_addresses(settings), client, tuple(part.name for part in ours))


def down() -> list[str]:
    """Ends every service of this home, also what a killed supervisor has left; the names of those that ran."""
    settings = StackSettings()
    home = settings.nextclick_home
    if not home.is_dir():
        return []
    stopped = _shut_down(home)
    stopped += _clean_up(home)
    return stopped


def status() -> list[Row]:
    """A row for each part and for every other service that runs here."""
    settings = StackSettings()
    services = (files.read_state(settings.nextclick_home) or {"services": {}})["services"]
    parts = {part.name: part for part in _parts(settings)}
    rows = [_part_row(settings, part, services.get(name)) for name, part in parts.items()]
    return rows + [_service_row(name, service) for name, service in services.items() if name not in parts]


def print_env(addresses: Addresses | None = None) -> list[str]:
    """Lines for a shell to evaluate that make every other program find the stack, Feast's command line included."""
    addresses = addresses or find_addresses()
    variables = addresses.variables() | _feast_variables(addresses)
    return [f"export {name}={shlex.quote(value)}" for name, value in variables.items()]


def _feast_variables(addresses: Addresses) -> dict[str, str]:
    if not addresses.redis_url:
        return {}
    settings = StackSettings().model_copy(update={"redis_url": SecretStr(addresses.redis_url)})
    return feast_environment(settings)


# --- up ---------------------------------------------------------------------------------------------------------------


def _parts(settings: StackSettings) -> list[Part]:
    return [Kafka(settings), Redis(settings), Triton(settings)]


def _checked_names(parts: Iterable[str] | None) -> set[str]:
    names = set(PARTS if parts is None else parts)
    if unknown := names - set(PARTS):
        raise StackError(f"unknown part {', '.join(sorted(unknown))}: the parts are {', '.join(PARTS)}")
    return names


def _outside(settings: StackSettings, part: Part) -> str | None:
    """The address that the environment gives for a part."""
    given = {
        "kafka": settings.kafka_bootstrap_servers,
        "redis": settings.external_redis_url,
        "triton": settings.triton_grpc_url,
    }
    return given[part.name] or None


def _wait_external(part: Part, address: str) -> None:
    try:
        wait(lambda: part.check(address), _CHECK_SECONDS)
    except NotReadyError as error:
        raise StackError(f"{error} ({part.variable} is set; unset it to have {part.name} started here)") from error


def _start(client: SupervisorClient, parts: list[Part], progress: Progress) -> None:
    with one_at_a_time(client.home / "up.lock"):
        missing = [part for part in parts if not client.hold(part.name)]
        for part in missing:
            progress(part.name, "installing")
            part.install(partial(progress, part.name))
        for part in missing:
            progress(part.name, "starting")
            client.start(part.service())
    for part in parts:
        _wait_ready(client, part, progress)


def _wait_ready(client: SupervisorClient, part: Part, progress: Progress) -> None:
    wait_for_service(client, part.name, part.check, part.ready_seconds)
    service = client.status()[part.name]
    if service["state"] == "starting":
        part.settle(service["address"], partial(progress, part.name))
        client.ready(part.name)
    progress(part.name, "ready")


# --- down -------------------------------------------------------------------------------------------------------------


def _shut_down(home: Path) -> list[str]:
    supervisor, stopped = None, list[str]()
    with suppress(StackError):  # a damaged stack.json is removed in any case
        supervisor = (files.read_state(home) or {}).get("supervisor")
    with suppress(SupervisorGoneError), SupervisorClient(home, start_supervisor=False) as client:
        stopped = client.shutdown()
    if supervisor and not wait_gone(supervisor["pid"], supervisor["identity"], _SUPERVISOR_SECONDS):
        raise StackError(f"the supervisor (process {supervisor['pid']}) does not end")
    return stopped


def _clean_up(home: Path) -> list[str]:
    """Ends what outlived its supervisor. The lock keeps a new supervisor from starting services meanwhile."""
    with ExitStack() as released:
        if (lock := files.try_lock(home)) is None:
            return []
        released.callback(files.unlock, lock)
        left = kill_remaining(home)
        files.remove_state(home)
        remove_shared_memory(home)
    return [f"process {pid}" for pid in left]


# --- status -----------------------------------------------------------------------------------------------------------


def _part_row(settings: StackSettings, part: Part, service: dict[str, Any] | None) -> Row:
    if outside := _outside(settings, part):
        shown = outside.rpartition("@")[2] if part.name == "redis" else outside
        try:
            part.check(outside)
        except NotReadyError:
            return Row(part.name, f"{EXTERNAL}, does not answer", shown)
        return Row(part.name, EXTERNAL, shown)
    return _service_row(part.name, service) if service else Row(part.name, "not running")


def _service_row(name: str, service: dict[str, Any]) -> Row:
    code = "" if service["exit_code"] is None else f" ({service['exit_code']})"
    return Row(name, service["state"] + code, service["address"], service["pid"], Path(service["log"]))
