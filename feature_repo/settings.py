"""Addresses and folders that every stage shares, read from the environment; each default stands only here."""

from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, Field, SecretStr, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

PROJECT_ROOT = Path(__file__).resolve().parents[1]
SQLITE = "sqlite"
"""The REDIS_URL that asks for Feast's SQLite online store instead of Redis."""


def _absolute(path: Path) -> Path:
    return path.expanduser().resolve()


Folder = Annotated[Path, AfterValidator(_absolute)]


class SharedSettings(BaseSettings):
    """What the stages agree on. An environment variable is called as its field, in upper case, without a prefix."""

    model_config = SettingsConfigDict(frozen=True, extra="ignore", env_ignore_empty=True, validate_default=True)

    nextclick_home: Folder = PROJECT_ROOT / ".nextclick"
    """State of this checkout: registry, archive, runs, and the local stack's files."""
    redis_url: SecretStr = SecretStr("redis://127.0.0.1:6379/0")
    """`redis://…`, `rediss://…`, or the word `sqlite`. May hold a password."""
    registry_url: SecretStr = Field(
        default_factory=lambda data: SecretStr(f"sqlite:///{data['nextclick_home']}/registry.db"),
    )
    """SQLAlchemy URL of Feast's registry. May hold a password."""
    archive_path: Folder = Field(default_factory=lambda data: data["nextclick_home"] / "archive")
    """Folder of the event archive, `event_date=YYYY-MM-DD/*.parquet` (see `archive_schema`)."""
    items_path: Folder = Field(default_factory=lambda data: data["nextclick_home"] / "items.parquet")
    """The catalogue, one Parquet file of `archive_schema.ITEM_SCHEMA`."""
    runs_path: Folder = Field(default_factory=lambda data: data["nextclick_home"] / "runs")
    """Folder of training runs."""
    model_repository: Folder = PROJECT_ROOT / "model_repository"
    """Triton's model repository."""

    @field_validator("redis_url")
    @classmethod
    def _check_redis_url(cls, url: SecretStr) -> SecretStr:
        if url.get_secret_value() != SQLITE and not url.get_secret_value().startswith(("redis://", "rediss://")):
            raise ValueError("REDIS_URL must start with redis:// or rediss://, or be the word sqlite")
        return url

    @property
    def uses_sqlite(self) -> bool:
        """Whether the online store is Feast's SQLite one."""
        return self.redis_url.get_secret_value() == SQLITE

    @property
    def sqlite_path(self) -> Path:
        """File of the SQLite online store, used when REDIS_URL is `sqlite`."""
        return self.nextclick_home / "online_store.db"
