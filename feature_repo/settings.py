"""Addresses, folders and credentials that every stage shares, read from the environment; defaults stand only here."""

from pathlib import Path
from typing import Annotated, Self
from urllib.parse import unquote, urlsplit

from pydantic import (
    BeforeValidator,
    Field,
    FilePath,
    SecretStr,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic_settings import SettingsConfigDict

from runtime.settings import PROJECT_ROOT, Folder, ProcessSettings, absolute


def archive_location(value: Path | str, name: str = "ARCHIVE_PATH") -> Path | str:
    """A folder as an absolute path, anything else that fsspec knows (`s3://bucket/prefix`) as its URL.

    Raises ValueError if a password stands in the URL.
    """
    text = str(value)
    if "://" not in text:
        return absolute(Path(text))
    url = urlsplit(text)
    if url.password:
        raise ValueError(f"{name} must hold no password: give credentials in the environment")
    return absolute(Path(unquote(url.path))) if url.scheme == "file" else text.rstrip("/")


def registry_in(folder: Path) -> str:
    """The URL of a registry of one file in a folder, whatever the folder is called."""
    path = str(folder / "registry.db")
    # What SQLAlchemy takes for more than a letter, and the quote, which ends a string in feature_store.yaml.
    for letter in "%?'":
        path = path.replace(letter, f"%{ord(letter):X}")
    return f"sqlite:///{path}"


def _location(value: Path | str, info: ValidationInfo) -> Path | str:
    return archive_location(value, str(info.field_name).upper())


def _has_address(url: str) -> bool:
    """Whether host and port are where they belong; messages of others about it would hold parts of a password."""
    try:
        parts = urlsplit(url)
        return parts.port is None or "@" not in parts.path + parts.query + parts.fragment
    except ValueError:
        return False


Location = Annotated[Path | str, BeforeValidator(_location)]


class SharedSettings(ProcessSettings):
    """What the stages agree on. An environment variable is called as its field, in upper case, without a prefix."""

    model_config = SettingsConfigDict(validate_default=True)

    nextclick_home: Folder = PROJECT_ROOT / ".nextclick"
    """State of this checkout: registry, archive, runs, and the local stack's files."""
    redis_url: SecretStr = SecretStr("redis://127.0.0.1:6379/0")
    """The online store, any server that speaks Redis' protocol: `redis://…`, or `rediss://…` (TLS). May hold a
    password."""
    redis_username: str = ""
    """User of Redis' access control list, unless REDIS_URL names one."""
    redis_password: SecretStr = SecretStr("")
    """Password, unless it stands in REDIS_URL."""
    redis_ca_file: FilePath | None = None
    """Certificates (PEM) that the server's must lead to; without it those that the system trusts."""
    redis_cert_file: FilePath | None = None
    """Our own certificate (PEM), for a server that asks for one."""
    redis_key_file: FilePath | None = None
    """The key of our own certificate (PEM, not encrypted)."""
    registry_url: SecretStr = Field(
        default_factory=lambda data: SecretStr(registry_in(data["nextclick_home"])),
    )
    """SQLAlchemy URL of Feast's registry. May hold a password."""
    archive_path: Location = Field(default_factory=lambda data: data["nextclick_home"] / "archive")
    """Folder or fsspec URL (`s3://…`, `gs://…`) of the event archive, `event_date=YYYY-MM-DD/*.parquet`."""
    items_path: Folder = Field(default_factory=lambda data: data["nextclick_home"] / "items.parquet")
    """The catalogue, one Parquet file of `archive_schema.ITEM_SCHEMA`."""
    runs_path: Folder = Field(default_factory=lambda data: data["nextclick_home"] / "runs")
    """Folder of training runs."""
    model_repository: Folder = PROJECT_ROOT / "model_repository"
    """Triton's model repository."""

    @field_validator("redis_url")
    @classmethod
    def _check_redis_url(cls, url: SecretStr) -> SecretStr:
        if not url.get_secret_value().startswith(("redis://", "rediss://")):
            raise ValueError(
                "REDIS_URL must start with redis:// or rediss://, as redis://host:6379/0; "
                "without one, `nextclick up` starts a Redis of its own"
            )
        if not _has_address(url.get_secret_value()):
            raise ValueError("REDIS_URL must name host and port: in a password write / as %2F, ? as %3F and # as %23")
        return url

    @model_validator(mode="after")
    def _check_redis_tls(self) -> Self:
        files = {"CA": self.redis_ca_file, "CERT": self.redis_cert_file, "KEY": self.redis_key_file}
        given = [f"REDIS_{name}_FILE" for name, path in files.items() if path]
        if given and not self.redis_uses_tls:
            raise ValueError(f"{given[0]} is for TLS: let REDIS_URL start with rediss://")
        if (self.redis_cert_file is None) != (self.redis_key_file is None):
            raise ValueError("REDIS_CERT_FILE and REDIS_KEY_FILE belong together: set both or neither")
        return self

    @property
    def redis_uses_tls(self) -> bool:
        """Whether Redis is reached over TLS."""
        return self.redis_url.get_secret_value().startswith("rediss://")
