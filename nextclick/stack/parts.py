"""What Kafka, Redis and Triton have in common for those who start or check them."""

from collections.abc import Callable
from typing import Protocol

from nextclick.stack.services import ServiceSpec

Report = Callable[[str], None]
"""Is told, in a few words, what is being done."""


class Part(Protocol):
    """A server of the stack."""

    name: str
    variable: str
    """The environment variable that holds its address."""
    ready_seconds: float
    """How long a start may take."""

    def install(self, report: Report) -> None:
        """Fetches what it needs, unless that has been done; raises StackError."""

    def service(self) -> ServiceSpec:
        """Writes its configuration and describes its process, with free ports chosen."""

    def check(self, address: str) -> None:
        """Raises NotReadyError unless a server answers at the address."""

    def settle(self, address: str, report: Report) -> None:
        """Last steps with a server that has just been started and answers."""
