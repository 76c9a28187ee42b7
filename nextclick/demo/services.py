"""The applications that the demo runs beside the servers: consumer, archive writer, gateway."""

import os
import sys
import time
from pathlib import Path

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from feature_repo.errors import NextclickError
from nextclick.stack.client import SupervisorClient
from nextclick.stack.home import log_path
from nextclick.stack.ports import HOST, choose_ports
from nextclick.stack.services import ServiceSpec

GATEWAY_ADDRESS = "GATEWAY_ADDRESS"
READY_WITHIN_S = 60.0


def start_application(client: SupervisorClient, home: Path, verb: str) -> None:
    """Run `nextclick <verb>` under the supervisor in place of one that an earlier demo left."""
    client.stop([verb])
    client.start(_spec(home, verb, ()))
    client.ready(verb)


def start_gateway(client: SupervisorClient, home: Path) -> str:
    """Run the gateway and wait until it reports itself healthy; its address."""
    client.stop(["serve"])
    ports = choose_ports(home / "gateway-ports.json", ["grpc", "metrics"])
    arguments = ("--port", str(ports["grpc"]), "--metrics-port", str(ports["metrics"]))
    address = f"{HOST}:{ports['grpc']}"
    client.start(_spec(home, "serve", arguments, address))
    _wait_until_healthy(client, address)
    client.ready("serve")
    return address


def check_alive(client: SupervisorClient, names: list[str]) -> None:
    """Raise NextclickError for an application that has ended, with the end of its log."""
    services = client.status()
    for name in names:
        service = services.get(name)
        if service is None or service["state"] in ("exited", "stopping"):
            tail = "\n".join(Path(service["log"]).read_text().splitlines()[-15:]) if service else "(no log)"
            raise NextclickError(f"`nextclick {name}` ended early. The end of its log:\n{tail}")


def _spec(home: Path, verb: str, arguments: tuple[str, ...], address: str = "") -> ServiceSpec:
    return ServiceSpec(
        name=verb,
        argv=(sys.executable, "-m", "nextclick", verb, *arguments),
        cwd=home,
        log=log_path(home, verb),
        # The applications share two cores with training; their own arithmetic needs no threads.
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        address=address,
        variables={GATEWAY_ADDRESS: address} if address else {},
    )


def _wait_until_healthy(client: SupervisorClient, address: str) -> None:
    give_up = time.monotonic() + READY_WITHIN_S
    with grpc.insecure_channel(address) as channel:
        stub = health_pb2_grpc.HealthStub(channel)
        while time.monotonic() < give_up:
            check_alive(client, ["serve"])
            try:
                answer = stub.Check(health_pb2.HealthCheckRequest(), timeout=1.0)
                if answer.status == health_pb2.HealthCheckResponse.SERVING:
                    return
            except grpc.RpcError:
                pass  # not listening yet
            time.sleep(0.1)
    raise NextclickError(
        f"the gateway was not healthy within {READY_WITHIN_S:.0f} s: see `nextclick status` for its log"
    )
