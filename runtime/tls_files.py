"""Whether files of certificates and keys can be used, told before a client gives up over them without naming them."""

import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from runtime.errors import TlsFileError

Named = tuple[str, Path | None]
"""The setting's name and the file, if there is one."""


def check_tls_files(ca: Named, certificate: Named, key: Named) -> None:
    """Raise TlsFileError, naming setting and file, if TLS cannot use one of them."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    if ca[1]:
        with _named([ca], "holds no certificate (PEM)"):
            context.load_verify_locations(ca[1])
    if certificate[1]:
        with _named([certificate, key], "are no certificate and its key (PEM, the key not encrypted)"):
            context.load_cert_chain(certificate[1], key[1], password=lambda: "")


@contextmanager
def _named(files: list[Named], what: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:  # an SSLError is one as well
        names = " and ".join(f"{name} ({path})" for name, path in files if path)
        why = what if isinstance(error, ssl.SSLError) else f"cannot be read: {error.strerror}"
        raise TlsFileError(f"{names} {why}") from error
