"""Tokens by the grant `client_credentials`, from an endpoint that runs in the test."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from pydantic import SecretStr

from streaming.errors import TokenError
from streaming.kafka.oauth_token import ClientCredentials

SECRET = "s3cret:with/odd characters"


class Endpoint:
    """Answers with what `status` and `body` say, and remembers what it was asked."""

    def __init__(self) -> None:
        self.status = 200
        self.body: object = {"access_token": "a.b.c", "expires_in": 3600}
        self.asked: list[tuple[str, str]] = []
        endpoint = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                form = self.rfile.read(int(self.headers["Content-Length"])).decode()
                endpoint.asked.append((self.headers["Authorization"], form))
                self.send_response(endpoint.status)
                if endpoint.status == 302:
                    self.send_header("Location", f"{endpoint.url}/elsewhere")
                self.end_headers()
                self.wfile.write(json.dumps(endpoint.body).encode())

            def log_message(self, format: str, *args: object) -> None:
                """Stay silent."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever)
        self._thread.start()
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def close(self) -> None:
        """End the server."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@pytest.fixture
def endpoint() -> Iterator[Endpoint]:
    endpoint = Endpoint()
    yield endpoint
    endpoint.close()


def client_of(endpoint: Endpoint, scope: str = "") -> ClientCredentials:
    return ClientCredentials(endpoint.url, "ann", SecretStr(SECRET), scope)


def test_the_endpoint_is_asked_as_rfc_6749_says(endpoint: Endpoint) -> None:
    assert client_of(endpoint, "kafka read").token() == "a.b.c"
    # ann:s3cret%3Awith%2Fodd+characters
    expected = "Basic YW5uOnMzY3JldCUzQXdpdGglMkZvZGQrY2hhcmFjdGVycw=="
    assert endpoint.asked == [(expected, "grant_type=client_credentials&scope=kafka+read")]


def test_a_token_is_kept_while_it_is_good_and_renewed_before_it_ends(endpoint: Endpoint) -> None:
    client = client_of(endpoint)
    assert {client.token() for _ in range(5)} == {"a.b.c"}
    assert len(endpoint.asked) == 1
    endpoint.body = {"access_token": "x.y.z", "expires_in": 1e-9}
    short_lived = client_of(endpoint)
    assert [short_lived.token(), short_lived.token()] == ["x.y.z", "x.y.z"]
    assert len(endpoint.asked) == 3


@pytest.mark.parametrize(
    "body", [{}, [], "text", {"access_token": 1}, {"access_token": "a\x01b"}, {"access_token": None}]
)
def test_an_answer_without_a_token_is_an_error(endpoint: Endpoint, body: object) -> None:
    endpoint.body = body
    with pytest.raises(TokenError, match="access_token"):
        client_of(endpoint).token()


@pytest.mark.parametrize("status", [302, 401, 500])
def test_a_refusal_is_an_error_that_tells_no_secret(endpoint: Endpoint, status: int) -> None:
    endpoint.status = status
    with pytest.raises(TokenError, match=f"answers {status}: check KAFKA_OAUTH_CLIENT_ID") as raised:
        client_of(endpoint).token()
    assert SECRET not in str(raised.value)
    assert len(endpoint.asked) == 1  # nor was it sent anywhere else


def test_a_secret_is_not_sent_in_the_clear_over_a_network() -> None:
    with pytest.raises(TokenError, match="https://"):
        ClientCredentials("http://login.example.com/token", "ann", SecretStr(SECRET))


def test_nobody_there_is_an_error(endpoint: Endpoint) -> None:
    client = client_of(endpoint)
    endpoint.close()
    with pytest.raises(TokenError, match="does not answer"):
        client.token()
