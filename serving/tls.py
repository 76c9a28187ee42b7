"""The gateway's certificate, read at the start and again whenever its files have changed, as a renewal does it."""

import logging
import os
import ssl
from pathlib import Path

import grpc

from serving.errors import GatewayStartError

log = logging.getLogger(__name__)


class Certificate:
    """A certificate chain and its key, PEM files. Raises GatewayStartError if they cannot be read or do not fit."""

    def __init__(self, cert_file: Path, key_file: Path) -> None:
        self._files = cert_file, key_file
        self._seen = self._state()
        try:
            self._current = self._read()
        except (OSError, ValueError) as error:
            raise GatewayStartError(
                f"GATEWAY_TLS_CERT_FILE {cert_file} and GATEWAY_TLS_KEY_FILE {key_file} are no certificate and its key,"
                f" in PEM, not encrypted: {error}"
            ) from error

    def credentials(self) -> grpc.ServerCredentials:
        """For a server's port; connections made after a renewal see the new certificate."""
        # The stubs know no None here; gRPC's documentation does.
        return grpc.dynamic_ssl_server_credentials(self._current, self._renewed)  # type: ignore[arg-type]

    def _renewed(self) -> grpc.ServerCertificateConfiguration | None:
        """Asked at every handshake; None leaves the certificate as it is."""
        state = self._state()
        if state == self._seen:
            return None
        try:
            self._current = self._read()
        except (OSError, ValueError) as error:
            # Half of a renewal, perhaps: asked again at the next handshake.
            log.warning("the renewed certificate cannot be used, keeping the one before: %s", error)
            return None
        self._seen = state
        log.info("certificate read anew")
        return self._current

    def _state(self) -> tuple[tuple[int, int], ...] | None:
        try:
            return tuple((status.st_mtime_ns, status.st_ino) for status in map(os.stat, self._files))
        except OSError:
            return None

    def _read(self) -> grpc.ServerCertificateConfiguration:
        cert_file, key_file = self._files
        # gRPC itself would only fail handshakes. An encrypted key must not make OpenSSL ask the terminal.
        ssl.create_default_context(ssl.Purpose.CLIENT_AUTH).load_cert_chain(cert_file, key_file, password=_no_password)
        return grpc.ssl_server_certificate_configuration([(key_file.read_bytes(), cert_file.read_bytes())])


def _no_password() -> str:
    raise ValueError("the key is encrypted")
