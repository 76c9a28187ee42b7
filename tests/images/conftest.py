"""Images, mounted once for all tests, and releases of the chart whose addresses are those of real servers here."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, urlsplit

import pytest
import redis
import trustme
from sqlalchemy import URL

from nextclick.stack.addresses import Addresses
from streaming.settings import StreamingSettings
from tests.chart.rendering import Object, of
from tests.images.build import buildah, built_or_skipped
from tests.images.kubelet import Kubelet, MountedImage, Secrets
from tests.support.ports import free_ports
from tests.support.postgres_server import Postgres, running_postgres
from tests.support.secure_servers import (
    PASSWORD,
    USER,
    make_certificates,
    running_kafka,
    running_redis,
)

REDIS_DB = "/11"
REGISTRY_CA_FILE = "/etc/nextclick/registry-tls/ca.crt"
"""Where the chart mounts `registry.tlsSecret`."""


@dataclass(frozen=True)
class Release:
    """A scenario of the chart with some values, on a node; `settings` are how the tests reach the same servers."""

    scenario: str
    values: tuple[str, ...]
    kubelet: Kubelet
    settings: StreamingSettings
    trusted: bytes | None = None
    """Whom the gateway's certificate leads to, where it has one."""

    def workload(self, kind: str, component: str) -> Object:
        """The object that Helm renders."""
        return of(self.scenario, kind, component, *self.values)


@pytest.fixture(scope="session")
def services_image() -> Iterator[MountedImage]:
    with mounted(built_or_skipped("services")) as image:
        yield image


@contextmanager
def mounted(name: str) -> Iterator[MountedImage]:
    """A container of the image as a folder; nothing runs in it."""
    container = buildah("from", "--pull-never", name)
    try:
        root = Path(buildah("mount", container))
        inspected = json.loads(buildah("inspect", "--type", "image", name))
        yield MountedImage(root, inspected["OCIv1"]["config"])
    finally:
        buildah("rm", container)


@pytest.fixture(scope="session")
def plain(stack: Addresses, services_image: MountedImage, tmp_path_factory: pytest.TempPathFactory) -> Release:
    """The try-out, with Kafka, Redis and Triton of this machine in place of its own, and a registry to bring up."""
    redis_url = urlsplit(stack.redis_url)._replace(path=REDIS_DB).geturl()
    with redis.Redis.from_url(redis_url) as client:
        client.flushdb()
    values = (
        "kafka.embedded.enabled=false",
        f"kafka.bootstrapServers={stack.kafka_bootstrap_servers}",
        "redis.embedded.enabled=false",
        "registry.existingSecret=nextclick",
        "archive.flushSeconds=1",
        *own_triton_and_ports(stack),
    )
    # SQLite in the pod's own folder stands in for PostgreSQL: each pod brings its own up to date.
    secrets = {"nextclick": {"REDIS_URL": redis_url, "REGISTRY_URL": "sqlite:////var/lib/nextclick/registry.db"}}
    kubelet = Kubelet(services_image, tmp_path_factory.mktemp("node"), secrets)
    settings = StreamingSettings(kafka_bootstrap_servers=stack.kafka_bootstrap_servers, redis_url=redis_url)
    return Release("embedded", values, kubelet, settings)


@pytest.fixture(scope="session")
def encrypted(
    stack: Addresses, services_image: MountedImage, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Release]:
    """Everything over TLS: a Kafka that asks for our certificate, a Redis and a PostgreSQL that ask for a password."""
    folder = tmp_path_factory.mktemp("secure")
    certificates = make_certificates(folder)
    ca, authority = certificates.ca.read_text(), trustme.CA()
    gateway = authority.issue_cert("localhost")
    with (
        running_kafka(folder) as kafka,
        running_redis(folder, certificates) as redis_port,
        running_postgres() as postgres,
        postgres.database() as database,
    ):
        login = f"{USER}:{quote(PASSWORD, safe='')}"
        secrets: Secrets = {
            "nextclick": {
                "REDIS_URL": f"rediss://localhost:{redis_port}/0",
                "REDIS_USERNAME": USER,
                "REDIS_PASSWORD": PASSWORD,
                "REGISTRY_URL": registry_url(postgres, database),
            },
            "nextclick-redis-ca": {"ca.crt": ca},
            "nextclick-registry-ca": registry_ca(postgres),
            "nextclick-kafka-client": {
                "ca.crt": ca,
                "tls.crt": certificates.client_cert.read_text(),
                "tls.key": certificates.client_key.read_text(),
            },
            "nextclick-erasure": {"ERASURE_KEY": "a key of this test"},
            "nextclick-gateway-tls": {
                "tls.crt": gateway.cert_chain_pems[0].bytes().decode(),
                "tls.key": gateway.private_key_pem.bytes().decode(),
            },
        }
        settings = StreamingSettings(
            kafka_bootstrap_servers=kafka.plain,
            redis_url=f"rediss://{login}@localhost:{redis_port}/0",
            redis_ca_file=certificates.ca,
        )
        values = (f"kafka.bootstrapServers={kafka.tls}", *own_triton_and_ports(stack))
        kubelet = Kubelet(services_image, tmp_path_factory.mktemp("node"), secrets)
        yield Release("tls", values, kubelet, settings, authority.cert_pem.bytes())


def own_triton_and_ports(stack: Addresses) -> tuple[str, ...]:
    """A Triton that the chart does not run, ports that nobody has, and a load balancer that is quick to notice."""
    ports = free_ports(5)
    names = (
        "gateway.port",
        "gateway.metricsPort",
        "streaming.metricsPort",
        "catalogue.metricsPort",
        "archive.metricsPort",
    )
    return (
        "triton.enabled=false",
        f"triton.externalUrl={stack.triton_grpc_url}",
        "gateway.shutdownNoticeSeconds=2",
        *(f"{name}={port}" for name, port in zip(names, ports, strict=True)),
    )


def registry_url(postgres: Postgres, database: URL) -> str:
    """As a deployment has it; as it was given for a server from elsewhere, whose certificate nobody here knows."""
    if postgres.authority is not None:
        database = database.update_query_dict({"sslmode": "verify-full", "sslrootcert": REGISTRY_CA_FILE})
    return database.render_as_string(hide_password=False)


def registry_ca(postgres: Postgres) -> dict[str, str]:
    """What is in the Secret of `registry.tlsSecret`."""
    return {"ca.crt": postgres.authority.read_text() if postgres.authority is not None else ""}
