"""Protobuf in pure Python is correct and slow, so a process that serves or streams says when it runs on it."""

import logging

from google.protobuf.internal import api_implementation
from prometheus_client import CollectorRegistry, Gauge

log = logging.getLogger(__name__)


def tell_implementation(registry: CollectorRegistry) -> None:
    """Add the gauge `nextclick_protobuf_pure_python` to the metrics, and warn where it is 1. Once for a process."""
    is_pure = api_implementation.Type() == "python"
    gauge = Gauge(
        "nextclick_protobuf_pure_python",
        "1 when protobuf runs in pure Python, which takes several times the CPU time of its own library",
        registry=registry,
    )
    gauge.set(is_pure)
    if is_pure:
        log.warning(
            "protobuf runs in pure Python, which is slow: unset PROTOCOL_BUFFERS_PYTHON_IMPLEMENTATION, "
            "or install a protobuf that has its library for this platform"
        )
