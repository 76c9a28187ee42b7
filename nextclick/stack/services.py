"""What the supervisor is asked to run: a program, how to find it once it runs, and how to end it."""

import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

SERVERS_TIER = 0
APPLICATIONS_TIER = 1


@dataclass(frozen=True, slots=True)
class ServiceSpec:
    """One program to run as a child of the supervisor.

    `log` receives its stdout and stderr and is emptied at the start. `variables` are what others set in their
    environment to reach it. Services of a higher `tier` are ended first, so that a consumer can still commit before
    Kafka goes. After `stop_seconds` of SIGTERM comes SIGKILL; once it is gone, so are the files that match `residue`.
    """

    name: str
    argv: tuple[str, ...]
    cwd: Path
    log: Path
    env: Mapping[str, str] = field(default_factory=lambda: dict(os.environ), repr=False)
    address: str = ""
    variables: Mapping[str, str] = field(default_factory=dict, repr=False)
    tier: int = APPLICATIONS_TIER
    stop_seconds: float = 15.0
    residue: str = ""

    def to_request(self) -> dict[str, Any]:
        """The fields as JSON can carry them."""
        return asdict(self) | {"cwd": str(self.cwd), "log": str(self.log), "env": dict(self.env)}

    @classmethod
    def from_request(cls, request: Mapping[str, Any]) -> "ServiceSpec":
        """The inverse of `to_request`; raises TypeError or ValueError on anything else."""
        words = [request["name"], *request["argv"]]
        if not all(isinstance(word, str) for word in words) or not all(words[:2]) or len(words) < 2:
            raise ValueError("a service needs a name and an argv")
        paths = {"cwd": Path(request["cwd"]), "log": Path(request["log"])}
        return cls(**{**request, **paths, "argv": tuple(request["argv"])})
