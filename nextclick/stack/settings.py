"""Where the stack's parts are, or are to be put."""

from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, Field

from feature_repo.settings import SharedSettings
from runtime.settings import absolute


def _no_separator(path: Path) -> Path:
    if set(str(path)) & {":", ";"}:
        raise ValueError(f"NEXTCLICK_TOOLS must have neither : nor ; in it, which separate folders of a PATH: {path}")
    return path


ToolsFolder = Annotated[Path, AfterValidator(absolute), AfterValidator(_no_separator)]


class StackSettings(SharedSettings):
    """An address given in the environment wins over starting that part."""

    kafka_bootstrap_servers: str | None = None
    triton_grpc_url: str | None = None
    triton_http_url: str | None = None
    nextclick_tools: ToolsFolder = Field(default_factory=lambda data: data["nextclick_home"] / "tools")
    """What `nextclick up` installs: Kafka's jars, Triton's environment. Homes may share it."""

    @property
    def external_redis_url(self) -> str | None:
        """REDIS_URL of the environment, None when it is not set. May hold a password."""
        return self.redis_url.get_secret_value() if "redis_url" in self.model_fields_set else None
