"""Tokens for Kafka's OAUTHBEARER, by the grant `client_credentials` of RFC 6749, kept until shortly before they end."""

import base64
import threading
import time
from http.client import HTTPException
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.parse import quote_plus, urlencode, urlsplit
from urllib.request import HTTPRedirectHandler, OpenerDirector, Request, build_opener

import orjson
from kafka.errors import KafkaConnectionError
from kafka.net.sasl.oauth import AbstractTokenProvider
from pydantic import SecretStr

from streaming.errors import TokenError

_TIMEOUT_SECONDS = 5.0
_MAX_BYTES = 1 << 20
_KEPT_SHARE = 0.8
"""Part of its life for which a token is handed out."""
_LIFE_SECONDS = 300
"""Assumed of a token whose endpoint does not say."""
_HERE = ("localhost", "127.0.0.1", "::1")


class ClientCredentials:
    """One client of a token endpoint. Safe between threads; Kafka's client asks whenever a connection opens."""

    def __init__(self, url: str, client_id: str, client_secret: SecretStr, scope: str = "") -> None:
        parts = urlsplit(url)
        if parts.scheme != "https" and not (parts.scheme == "http" and parts.hostname in _HERE):
            raise TokenError("KAFKA_OAUTH_TOKEN_URL must start with https://, or the secret could be read on its way")
        self._url = url
        self._client_id = client_id
        self._client_secret = client_secret
        self._scope = scope
        self._lock = threading.Lock()
        self._token = ""
        self._good_until = 0.0

    def token(self) -> str:
        """One that is still good. Raises TokenError."""
        with self._lock:
            if time.monotonic() >= self._good_until:
                asked_at = time.monotonic()
                self._token, seconds = _read_answer(self._ask())
                self._good_until = asked_at + seconds * _KEPT_SHARE
            return self._token

    def _ask(self) -> bytes:
        form = {"grant_type": "client_credentials"} | ({"scope": self._scope} if self._scope else {})
        request = Request(self._url, urlencode(form).encode(), method="POST")  # noqa: S310  # the scheme was checked
        request.add_header("Authorization", f"Basic {self._basic()}")
        request.add_header("Accept", "application/json")
        try:
            with _opener().open(request, timeout=_TIMEOUT_SECONDS) as response:
                return bytes(response.read(_MAX_BYTES))
        except HTTPError as error:
            error.close()
            raise TokenError(
                f"KAFKA_OAUTH_TOKEN_URL answers {error.code}: check KAFKA_OAUTH_CLIENT_ID and KAFKA_OAUTH_CLIENT_SECRET"
            ) from None
        except (OSError, HTTPException) as error:
            why = error.reason if isinstance(error, URLError) else error
            raise TokenError(f"KAFKA_OAUTH_TOKEN_URL does not answer: {why}") from error

    def _basic(self) -> str:
        """Both parts are form-encoded first, as RFC 6749 section 2.3.1 wants."""
        pair = f"{quote_plus(self._client_id)}:{quote_plus(self._client_secret.get_secret_value())}"
        return base64.b64encode(pair.encode()).decode()


class PatientTokens(AbstractTokenProvider):
    """Tokens for a client, which tries to connect again after its own errors alone: any other it raises for ever."""

    def __init__(self, source: ClientCredentials) -> None:
        super().__init__()
        self._source = source

    def token(self) -> str:
        """One that is still good. Raises KafkaConnectionError."""
        try:
            return self._source.token()
        except TokenError as error:
            raise KafkaConnectionError(str(error)) from error


class _NoRedirect(HTTPRedirectHandler):
    def redirect_request(self, *_: Any) -> None:
        """A secret goes to the address that was set, and to no other."""


def _opener() -> OpenerDirector:
    return build_opener(_NoRedirect)


def _read_answer(answer: bytes) -> tuple[str, float]:
    """The token and its life in seconds."""
    try:
        fields = orjson.loads(answer)
        token, seconds = fields["access_token"], float(fields.get("expires_in") or _LIFE_SECONDS)
    except (ValueError, TypeError, KeyError, AttributeError):
        raise TokenError("KAFKA_OAUTH_TOKEN_URL answers without an access_token") from None
    if not isinstance(token, str) or not token.isascii() or not token.isprintable():
        raise TokenError("KAFKA_OAUTH_TOKEN_URL answers with an access_token that is no string of printable characters")
    return token, seconds
