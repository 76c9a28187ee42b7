"""Probes as the kubelet runs them, from the container's own description."""

import urllib.request
from typing import Any

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

Object = dict[str, Any]


def succeeds(container: Object, name: str) -> bool:
    """One try of a probe (`startupProbe`, `readinessProbe` or `livenessProbe`), within its time."""
    probe = container[name]
    seconds = probe.get("timeoutSeconds", 1)
    if "grpc" in probe:
        return _grpc_succeeds(probe["grpc"]["port"], probe["grpc"].get("service", ""), seconds)
    get = probe["httpGet"]
    assert get.get("scheme", "HTTP") == "HTTP", "the tests know no other"
    return _http_succeeds(f"http://127.0.0.1:{port_of(container, get['port'])}{get['path']}", seconds)


def port_of(container: Object, name: str | int) -> int:
    """The number of a port that the container names."""
    if isinstance(name, int):
        return name
    (found,) = (port["containerPort"] for port in container["ports"] if port["name"] == name)
    return int(found)


def _http_succeeds(url: str, seconds: float) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=seconds) as reply:  # noqa: S310 - http on this machine
            return bool(200 <= reply.status < 400)
    except OSError:
        return False


def _grpc_succeeds(port: int, service: str, seconds: float) -> bool:
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        request = health_pb2.HealthCheckRequest(service=service)
        try:
            reply = health_pb2_grpc.HealthStub(channel).Check(request, timeout=seconds)
        except grpc.RpcError:
            return False
    return bool(reply.status == health_pb2.HealthCheckResponse.SERVING)
