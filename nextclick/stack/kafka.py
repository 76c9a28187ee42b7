"""Apache Kafka: one KRaft node on loopback, broker and controller in one process."""

import base64
import os
import shutil
import socket
import subprocess
import uuid
from contextlib import closing

from nextclick.stack.errors import NotReadyError, StackError
from nextclick.stack.home import link_to, log_path
from nextclick.stack.kafka_install import find_java, install_jars
from nextclick.stack.parts import Report
from nextclick.stack.ports import HOST, choose_ports
from nextclick.stack.processes import tie_to_this_process
from nextclick.stack.services import SERVERS_TIER, ServiceSpec
from nextclick.stack.settings import StackSettings

_FORMAT_SECONDS = 60
# It runs in its folder and is given names only: paths would need escapes in properties, a URL and a class path.
_PROPERTIES_FILE = "server.properties"
_LOG4J_FILE = "log4j2.properties"
_PROPERTIES = """\
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@{host}:{controller}
listeners=BROKER://{host}:{broker},CONTROLLER://{host}:{controller}
advertised.listeners=BROKER://{host}:{broker}
listener.security.protocol.map=BROKER:PLAINTEXT,CONTROLLER:PLAINTEXT
inter.broker.listener.name=BROKER
controller.listener.names=CONTROLLER
log.dirs={data}
# Topics are created on purpose, with their partitions.
auto.create.topics.enable=false
# Replayed events carry times of long ago; retention by time would delete them at once.
log.retention.ms=-1
offsets.topic.replication.factor=1
offsets.topic.num.partitions=4
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=4
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
share.coordinator.state.topic.num.partitions=4
group.initial.rebalance.delay.ms=0
num.network.threads=2
num.io.threads=4
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


class Kafka:
    """The event log. Its data survives a restart, on other ports if need be."""

    name = "kafka"
    variable = "KAFKA_BOOTSTRAP_SERVERS"
    ready_seconds = 120.0

    def __init__(self, settings: StackSettings) -> None:
        self._folder = settings.nextclick_home / "kafka"
        self._log = log_path(settings.nextclick_home, self.name)
        self._tools = settings.nextclick_tools

    def install(self, report: Report) -> None:
        """Fetches the jars."""
        install_jars(self._tools, report)

    def service(self) -> ServiceSpec:
        """Writes server.properties and formats the storage if there is none yet."""
        ports = choose_ports(self._folder / "ports.json", ["broker", "controller"])
        java = self._java()
        self._write_configuration(ports, "data")
        if not (self._folder / "data" / "meta.properties").is_file():
            self._format(java, ports)
        address = f"{HOST}:{ports['broker']}"
        return ServiceSpec(
            name=self.name,
            argv=(*java, "kafka.Kafka", _PROPERTIES_FILE),
            cwd=self._folder,
            log=self._log,
            env=_environment(),
            address=address,
            variables={self.variable: address},
            tier=SERVERS_TIER,
            stop_seconds=20.0,
        )

    def check(self, address: str) -> None:
        """Asks for the description of the cluster, which a broker only gives when it serves clients."""
        _check_port(address)
        from kafka import KafkaAdminClient

        from streaming.errors import KafkaFailedError
        from streaming.kafka.failures import kafka_errors, open_client
        from streaming.kafka_settings import KafkaSettings

        settings = KafkaSettings(kafka_bootstrap_servers=address)
        try:
            admin = open_client(settings, KafkaAdminClient, request_timeout_ms=5000, bootstrap_timeout_ms=5000)
            with closing(admin), kafka_errors(settings):
                brokers = admin.describe_cluster()["brokers"]
        except KafkaFailedError as error:
            raise NotReadyError(str(error)) from error
        if not brokers:
            raise NotReadyError(f"Kafka at {address} has no broker yet")

    def settle(self, address: str, report: Report) -> None:
        """Nothing more to do."""

    def _java(self) -> list[str]:
        jars = install_jars(self._tools, lambda _: None)
        link_to(self._folder / "jars", jars)
        flags = ["-Xms256m", "-Xmx512m", "-XX:+ExitOnOutOfMemoryError", "-Djava.awt.headless=true"]
        return [find_java(), *flags, f"-Dlog4j2.configurationFile={_LOG4J_FILE}", "-cp", "jars/*"]

    def _write_configuration(self, ports: dict[str, int], data: str) -> None:
        (self._folder / _LOG4J_FILE).write_text(_LOG4J)
        properties = _PROPERTIES.format(host=HOST, data=data, **ports)
        (self._folder / _PROPERTIES_FILE).write_text(properties)

    def _format(self, java: list[str], ports: dict[str, int]) -> None:
        """Formats a folder of another name first, so that half a format is never taken for storage."""
        unfinished = self._folder / "data.unfinished"
        shutil.rmtree(unfinished, ignore_errors=True)
        self._write_configuration(ports, unfinished.name)
        argv = [
            *java,
            "kafka.tools.StorageTool",
            "format",
            "-t",
            _cluster_id(),
            "-c",
            _PROPERTIES_FILE,
        ]
        result = subprocess.run(
            argv,
            cwd=self._folder,
            env=_environment(),
            preexec_fn=tie_to_this_process(),
            capture_output=True,
            text=True,
            timeout=_FORMAT_SECONDS,
            check=False,
        )
        if result.returncode != 0:
            raise StackError("Kafka's storage could not be formatted:", result.stdout + result.stderr)
        unfinished.rename(self._folder / "data")
        self._write_configuration(ports, "data")


def _environment() -> dict[str, str]:
    """Java takes the folder that it runs in for ASCII under some locales."""
    return {**os.environ, "LC_ALL": "C.UTF-8"}


def _cluster_id() -> str:
    """As Kafka writes a UUID: URL-safe base64 without padding, not to be mistaken for an option."""
    while (text := base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")).startswith("-"):
        pass
    return text


def _check_port(address: str) -> None:
    """A cheap look first: a client asked too early would wait and log."""
    host, _, port = address.split(",")[0].strip().rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=2).close()
    except (OSError, ValueError) as error:
        raise NotReadyError(f"nothing answers at {address}: {error}") from error
