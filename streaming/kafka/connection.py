"""How every client of ours reaches Kafka: addresses, TLS and login, out of the settings."""

import logging
import socket
import ssl
from contextlib import suppress
from functools import lru_cache
from typing import Any

from kafka.net.inet import KafkaNetSocket
from kafka.protocol.sasl import SaslAuthenticateRequest, SaslBytesRequest
from pydantic import SecretStr

from runtime.tls_files import check_tls_files
from streaming.errors import KafkaUnavailableError
from streaming.kafka.oauth_token import ClientCredentials, PatientTokens
from streaming.kafka_settings import KafkaSettings

_CONNECT_SECONDS = 5.0
_METADATA_MS = 10_000
"""Age at which a client asks which partitions there are. With the client's own five minutes, events in partitions that
were added would wait as long.
"""
_RECONNECT_MS = 2000
"""Longest pause between two tries to reach a broker; the client's own half a minute would go unused once it is back."""
_ALERT_SECONDS = 2.0
_LOGS_REQUESTS = ("kafka.net.connection", "kafka.protocol.parser")


def kafka_options(settings: KafkaSettings) -> dict[str, Any]:
    """Keyword arguments for KafkaConsumer, KafkaProducer and KafkaAdminClient. They hold the password.

    Raises TokenError if OAUTHBEARER gets no token, and TlsFileError if a file holds no certificate or key.
    """
    options: dict[str, Any] = {
        "bootstrap_servers": settings.kafka_bootstrap_servers,
        "security_protocol": settings.kafka_security_protocol,
        "reconnect_backoff_max_ms": _RECONNECT_MS,
        "metadata_max_age_ms": _METADATA_MS,
        "proxy_url": f"{_ClosedUnlessConnected.SCHEMES[0]}://",
    }
    if settings.kafka_uses_tls:
        options |= _tls_options(settings)
    if settings.kafka_uses_sasl:
        _keep_logins_out_of_logs()
        options |= _sasl_options(settings)
    return options


def unavailable(settings: KafkaSettings) -> KafkaUnavailableError:
    """What to raise when a client could not be opened. Takes a look at the first broker, for a few seconds at most."""
    return KafkaUnavailableError(settings.kafka_bootstrap_servers, _reason(settings))


class _ClosedUnlessConnected(KafkaNetSocket):
    """Connects to brokers directly, and has no socket left where that fails.

    kafka-python 3.0.12 leaves it open, for the garbage collector: one more with each try, as long as Kafka is away.
    """

    SCHEMES = ("direct",)

    async def sock_connect(
        self, net: Any, sock: socket.socket, sockaddr: tuple[Any, ...], timeout_at: float | None = None
    ) -> socket.socket:
        """As the client's own."""
        try:
            await super().sock_connect(net, sock, sockaddr, timeout_at)
        except BaseException:
            sock.close()
            raise
        return sock


def _reason(settings: KafkaSettings) -> str:
    """The client tries again whatever is wrong, and in the end only says that it took too long; so look once more."""
    host, _, port = settings.kafka_bootstrap_servers.split(",")[0].strip().rpartition(":")
    try:
        with socket.create_connection((host.strip("[]"), int(port)), timeout=_CONNECT_SECONDS) as plain:
            if settings.kafka_uses_tls:
                _shake_hands(settings, plain, host.strip("[]"))
    except ssl.SSLCertVerificationError as wrong:
        return f"its certificate is not good ({wrong.verify_message}): check KAFKA_SSL_CA_FILE and the host's name"
    except ssl.SSLError as wrong:
        return f"TLS fails ({wrong.reason}): check KAFKA_SECURITY_PROTOCOL and KAFKA_SSL_CERT_FILE"
    except (OSError, ValueError):
        return ""
    return _login_reason(settings) if settings.kafka_uses_sasl else ""


def _shake_hands(settings: KafkaSettings, plain: socket.socket, host: str) -> None:
    context = ssl.create_default_context(cafile=settings.kafka_ssl_ca_file)
    if settings.kafka_ssl_cert_file and settings.kafka_ssl_key_file:
        context.load_cert_chain(settings.kafka_ssl_cert_file, settings.kafka_ssl_key_file)
    with context.wrap_socket(plain, server_hostname=host) as secured:
        secured.settimeout(_ALERT_SECONDS)
        with suppress(TimeoutError):  # with TLS 1.3, what is wrong with our own certificate is only told after it
            secured.recv(1)


def _login_reason(settings: KafkaSettings) -> str:
    names = "KAFKA_SASL_USERNAME, KAFKA_SASL_PASSWORD"
    if settings.kafka_sasl_mechanism == "OAUTHBEARER":
        names = "KAFKA_OAUTH_TOKEN_URL, KAFKA_OAUTH_CLIENT_ID, KAFKA_OAUTH_SCOPE"
    return f"it answers, but the login by {settings.kafka_sasl_mechanism} fails: check {names} and KAFKA_SASL_MECHANISM"


def _tls_options(settings: KafkaSettings) -> dict[str, Any]:
    check_tls_files(
        ("KAFKA_SSL_CA_FILE", settings.kafka_ssl_ca_file),
        ("KAFKA_SSL_CERT_FILE", settings.kafka_ssl_cert_file),
        ("KAFKA_SSL_KEY_FILE", settings.kafka_ssl_key_file),
    )
    files = {
        "ssl_cafile": settings.kafka_ssl_ca_file,
        "ssl_certfile": settings.kafka_ssl_cert_file,
        "ssl_keyfile": settings.kafka_ssl_key_file,
    }
    return {name: str(path) for name, path in files.items() if path}


def _sasl_options(settings: KafkaSettings) -> dict[str, Any]:
    options: dict[str, Any] = {"sasl_mechanism": settings.kafka_sasl_mechanism}
    if settings.kafka_sasl_mechanism == "OAUTHBEARER":
        provider = _token_provider(
            settings.kafka_oauth_token_url,
            settings.kafka_oauth_client_id,
            settings.kafka_oauth_client_secret,
            settings.kafka_oauth_scope,
        )
        provider.token()  # fails here and now, where the client would only try again
        return options | {"sasl_oauth_token_provider": PatientTokens(provider)}
    return options | {
        "sasl_plain_username": settings.kafka_sasl_username,
        "sasl_plain_password": _Hidden(settings.kafka_sasl_password.get_secret_value()),
    }


@lru_cache(maxsize=8)
def _token_provider(url: str, client_id: str, client_secret: SecretStr, scope: str) -> ClientCredentials:
    """One for all connections, so that they share a token."""
    return ClientCredentials(url, client_id, client_secret, scope)


class _Hidden(str):
    """For a client that logs its configuration whole."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "'**********'"


_TELLS_LOGINS = (SaslAuthenticateRequest, SaslBytesRequest, bytes, bytearray, memoryview)


class _NoLogins(logging.Filter):
    def filter(self, record: logging.LogRecord) -> bool:
        arguments = record.args if isinstance(record.args, tuple) else ()
        return not any(isinstance(each, _TELLS_LOGINS) for each in arguments)


_NO_LOGINS = _NoLogins()


def _keep_logins_out_of_logs() -> None:
    """At level DEBUG the client logs requests whole, in words and in bytes, and with them the password."""
    for name in _LOGS_REQUESTS:
        logging.getLogger(name).addFilter(_NO_LOGINS)
