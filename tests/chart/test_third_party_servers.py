"""Kafka, Redis and Triton start with what the rendered chart gives them: the real servers, on ports of this machine."""

import os
import socket
import urllib.error
import urllib.request
from contextlib import closing
from pathlib import Path

import redis

from nextclick.stack.kafka_install import find_java, install_jars
from nextclick.stack.ports import HOST, choose_ports
from nextclick.stack.redis import _executable
from nextclick.stack.settings import StackSettings
from nextclick.stack.triton_install import install_triton
from streaming.kafka.topics import ensure_topics
from streaming.settings import StreamingSettings
from tests.chart.rendering import container, environment
from tests.support.programs import Process
from tests.support.waiting import wait_until


def accepts(port: int) -> bool:
    try:
        socket.create_connection((HOST, port), timeout=1).close()
    except OSError:
        return False
    return True


def test_kafka_takes_the_settings_that_the_image_makes_of_the_environment(tmp_path: Path) -> None:
    """The image's own set-up program reads KAFKA_…, writes server.properties and formats the log."""
    ports = choose_ports(tmp_path / "ports.json", ["kafka", "controller", "local"])
    variables = {name: variable["value"] for name, variable in environment(container("embedded", "kafka")).items()}
    moved = {
        "shop-kafka:9092": f"{HOST}:{ports['kafka']}",
        "://:9092": f"://{HOST}:{ports['kafka']}",
        "9093": str(ports["controller"]),
        "9094": str(ports["local"]),
        "/var/lib/kafka/data": str(tmp_path / "data"),
    }
    for before, after in moved.items():
        variables = {name: value.replace(before, after) for name, value in variables.items()}
    for name in ("defaults", "mounted", "final"):
        (tmp_path / name).mkdir()
    for name in ("server.properties", "log4j2.yaml", "tools-log4j2.yaml"):
        (tmp_path / "defaults" / name).touch()
    jars = ":".join(map(str, install_jars(StackSettings().nextclick_tools, lambda _: None).rglob("*.jar")))
    java = [find_java(), "-Xmx512m", "-cp", jars]
    folders = [f"--{name}-configs-dir={tmp_path / name}" for name in ("mounted", "final")]
    folders.append(f"--default-configs-dir={tmp_path / 'defaults'}")
    setup = Process(
        [*java, "kafka.docker.KafkaDockerWrapper", "setup", *folders],
        tmp_path / "setup.log",
        {**os.environ, **variables},
        tmp_path,
    )
    with setup:
        wait_until("the configuration", lambda: not setup.is_running)
    assert (tmp_path / "final" / "server.properties").exists(), setup.log_text()
    broker = Process(
        [*java, "kafka.Kafka", str(tmp_path / "final" / "server.properties")],
        tmp_path / "kafka.log",
        cwd=tmp_path,
    )
    with broker:
        for name in ("kafka", "local"):
            wait_until(name, lambda port=ports[name]: accepts(port), [broker])
            # An address of each listener leads back to that listener.
            assert ensure_topics(StreamingSettings(kafka_bootstrap_servers=f"{HOST}:{ports[name]}"))


def test_redis_takes_its_arguments(tmp_path: Path) -> None:
    [port] = choose_ports(tmp_path / "ports.json", ["redis"]).values()
    program, *arguments = container("embedded", "redis")["command"]
    assert program == "redis-server"
    assert arguments[arguments.index("--dir") + 1] == "/data"
    here = [str(tmp_path) if word == "/data" else word for word in arguments]
    own = ["--port", str(port), "--bind", HOST]
    server = Process([_executable(), *here, *own], tmp_path / "redis.log", cwd=tmp_path)
    with server:
        wait_until("Redis", lambda: accepts(port), [server])
        with closing(redis.Redis(host=HOST, port=port)) as client:
            assert client.ping()
            assert client.config_get("appendonly") == {"appendonly": "yes"}
            assert client.config_get("protected-mode") == {"protected-mode": "no"}


def test_triton_takes_its_arguments_and_passes_its_probes_before_there_is_a_model(tmp_path: Path) -> None:
    repository = tmp_path / "models"
    repository.mkdir()
    triton = container("embedded", "triton")
    ports = choose_ports(tmp_path / "ports.json", ["http", "grpc", "metrics"])
    own = {f"--{name}-port": str(port) for name, port in ports.items()} | {"--model-repository": str(repository)}
    named = [word.split("=", 1) for word in triton["args"][1:]]
    arguments = [f"{name}={own.get(name, value)}" for name, value in named]
    arguments += [f"--{name}-address={HOST}" for name in ports]
    files = install_triton(StackSettings().nextclick_tools, lambda _: None)
    server = Process(
        [str(files.executable), *arguments], tmp_path / "triton.log", files.process_environment(), tmp_path
    )
    with server:
        for name in ("startupProbe", "readinessProbe", "livenessProbe"):
            path = triton[name]["httpGet"]["path"]
            assert triton[name]["httpGet"]["port"] == "http"
            wait_until(path, lambda path=path: answers(f"http://{HOST}:{ports['http']}{path}"), [server])
        assert server.stop() == 0


def answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=2) as response:  # noqa: S310
            return response.status == 200
    except (urllib.error.URLError, OSError):
        return False
