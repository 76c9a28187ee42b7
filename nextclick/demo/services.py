"""The applications that the demo runs beside the servers: the stages of streaming, the gateway."""

import os
import sys
from pathlib import Path

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from nextclick.stack.client import SupervisorClient
from nextclick.stack.errors import NotReadyError
from nextclick.stack.home import log_path
from nextclick.stack.ports import HOST, choose_ports
from nextclick.stack.readiness import wait_for_service
from nextclick.stack.services import ServiceSpec
from serving.rpc.service import SERVICE_NAME

GATEWAY_ADDRESS = "GATEWAY_ADDRESS"
READY_WITHIN_S = 60.0


def start_application(client: SupervisorClient, verb: str) -> None:
    """Run `nextclick <verb>` under the supervisor in place of one that an earlier demo left."""
    client.stop([verb])
    client.start(_spec(client.home, verb, ()))
    client.ready(verb)


def start_gateway(client: SupervisorClient) -> str:
    """Run the gateway and wait until it reports itself healthy; its address."""
    client.stop(["serve"])
    ports = choose_ports(client.home / "gateway-ports.json", ["grpc", "metrics"])
    arguments = ("--port", str(ports["grpc"]), "--metrics-port", str(ports["metrics"]))
    address = f"{HOST}:{ports['grpc']}"
    client.start(_spec(client.home, "serve", arguments, address))
    with grpc.insecure_channel(address) as channel:
        health = health_pb2_grpc.HealthStub(channel)
        wait_for_service(client, "serve", lambda _: _check_health(health), READY_WITHIN_S)
    client.ready("serve")
    return address


def check_alive(client: SupervisorClient, verb: str) -> None:
    """Raise StackError, with the end of its log, if an application has ended."""
    wait_for_service(client, verb, lambda _: None, 0)


def _spec(home: Path, verb: str, arguments: tuple[str, ...], address: str = "") -> ServiceSpec:
    return ServiceSpec(
        name=verb,
        argv=(sys.executable, "-m", "nextclick", verb, *arguments),
        cwd=home,
        log=log_path(home, verb),
        # The applications share the machine with training; their own arithmetic needs no threads.
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        address=address,
        variables={GATEWAY_ADDRESS: address} if address else {},
    )


def _check_health(health: health_pb2_grpc.HealthStub) -> None:
    try:
        answer = health.Check(health_pb2.HealthCheckRequest(service=SERVICE_NAME), timeout=1.0)
    except grpc.RpcError as error:
        raise NotReadyError(f"the gateway does not answer: {error.code().name}") from error
    if answer.status != health_pb2.HealthCheckResponse.SERVING:
        raise NotReadyError("the gateway has nothing to answer with yet")
