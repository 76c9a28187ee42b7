"""Where the stack is: what is set in the environment, else what the running stack has left in stack.json."""

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from nextclick.stack import home as files
from nextclick.stack.errors import StackError
from nextclick.stack.settings import StackSettings

KAFKA = "KAFKA_BOOTSTRAP_SERVERS"
REDIS = "REDIS_URL"
TRITON = "TRITON_GRPC_URL"
TRITON_HTTP = "TRITON_HTTP_URL"


@dataclass(frozen=True, slots=True)
class Addresses:
    """Addresses and folders of a stack; an empty string where a part is not there."""

    home: Path
    model_repository: Path
    kafka_bootstrap_servers: str = ""
    redis_url: str = field(default="", repr=False)
    triton_grpc_url: str = ""
    triton_http_url: str = ""

    def variables(self) -> dict[str, str]:
        """The environment by which every stage finds this stack."""
        found = {
            KAFKA: self.kafka_bootstrap_servers,
            REDIS: self.redis_url,
            TRITON: self.triton_grpc_url,
            TRITON_HTTP: self.triton_http_url,
        }
        folders = {"NEXTCLICK_HOME": str(self.home), "MODEL_REPOSITORY": str(self.model_repository)}
        return folders | {name: value for name, value in found.items() if value}


def running_variables(home: Path) -> dict[str, str]:
    """The variables of the services that are ready in this home; empty when no stack runs."""
    state = files.read_state(home) or {"services": {}}
    ready = [service for service in state["services"].values() if service["state"] == "ready"]
    return {name: value for service in ready for name, value in service["variables"].items()}


def find_addresses(settings: StackSettings | None = None) -> Addresses:
    """Where the parts are now, the environment first."""
    settings = settings or StackSettings()
    variables = running_variables(settings.nextclick_home)
    outside = {
        KAFKA: settings.kafka_bootstrap_servers,
        REDIS: settings.external_redis_url,
        TRITON: settings.triton_grpc_url,
        TRITON_HTTP: settings.triton_http_url,
    }
    variables |= {name: value for name, value in outside.items() if value}
    return from_variables(settings, variables)


def from_variables(settings: StackSettings, variables: Mapping[str, str]) -> Addresses:
    """Addresses out of variables of the names above."""
    return Addresses(
        home=settings.nextclick_home,
        model_repository=settings.model_repository,
        kafka_bootstrap_servers=variables.get(KAFKA, ""),
        redis_url=variables.get(REDIS, ""),
        triton_grpc_url=variables.get(TRITON, ""),
        triton_http_url=variables.get(TRITON_HTTP, ""),
    )


def apply_to_environment(*, require: Iterable[str] = ()) -> Addresses:
    """Sets those variables of the running stack that the environment lacks.

    `require` names variables the caller cannot do without; raises StackError when one is nowhere to be found.
    """
    addresses = find_addresses()
    for name, value in addresses.variables().items():
        if not os.environ.get(name):
            os.environ[name] = value
    missing = [name for name in require if not os.environ.get(name)]
    if missing:
        raise StackError(f"no stack is running: run `nextclick up`, or set {' and '.join(missing)}")
    return addresses
