"""How every client of ours reaches Redis, and what its errors mean to us."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import redis

from feature_repo.errors import OnlineStoreError
from feature_repo.settings import SharedSettings
from runtime.tls_files import check_tls_files


@contextmanager
def redis_errors() -> Iterator[None]:
    """Whatever redis-py or the socket raises inside the block is an OnlineStoreError."""
    try:
        yield
    except (redis.RedisError, OSError) as error:
        raise OnlineStoreError(f"Redis: {error}") from error


def redis_options(settings: SharedSettings) -> dict[str, Any]:
    """Keyword arguments for `from_url` of `redis.Redis` and `redis.asyncio.Redis`. They hold the password.

    What REDIS_URL says of user and password comes before REDIS_USERNAME and REDIS_PASSWORD. Raises TlsFileError if a
    file holds no certificate or key.
    """
    options: dict[str, Any] = {
        "url": settings.redis_url.get_secret_value(),
        "username": settings.redis_username or None,
        "password": settings.redis_password.get_secret_value() or None,
    }
    if settings.redis_uses_tls:
        check_tls_files(
            ("REDIS_CA_FILE", settings.redis_ca_file),
            ("REDIS_CERT_FILE", settings.redis_cert_file),
            ("REDIS_KEY_FILE", settings.redis_key_file),
        )
        options["ssl_ca_certs"] = _text(settings.redis_ca_file)
        options["ssl_certfile"] = _text(settings.redis_cert_file)
        options["ssl_keyfile"] = _text(settings.redis_key_file)
    return {name: value for name, value in options.items() if value is not None}


def feast_connection_string(settings: SharedSettings) -> str:
    """The same for Feast: `host:port,db=0,…`, each value in JSON, and no comma but those in between."""
    from redis.connection import SSLConnection, parse_url

    options = redis_options(settings)
    options |= parse_url(options.pop("url"))
    address = f"{options.pop('host', '127.0.0.1')}:{options.pop('port', 6379)}"
    if options.pop("connection_class", None) is SSLConnection:
        options["ssl"] = True
    values = {name: json.dumps(value).replace(",", "\\u002c") for name, value in options.items()}
    return ",".join([address, *(f"{name}={value}" for name, value in values.items())])


def _text(path: object) -> str | None:
    return None if path is None else str(path)
