"""The names that our processes and Triton really export, asked of their own registries and of the running server."""

import functools
import json
from collections.abc import Iterable
from contextlib import closing
from urllib.request import urlopen

from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families
from pydantic import SecretStr

from nextclick.stack.addresses import Addresses
from serving.metrics import GatewayMetrics
from streaming.catalogue.consumer import Catalogue
from streaming.settings import StreamingSettings
from streaming.stage.metrics import StreamingMetrics
from tests.support.planted_ensemble import PlantedEnsemble

TRITON_ON_GPU = {"nv_gpu_utilization", "nv_gpu_memory_used_bytes", "nv_gpu_memory_total_bytes"}
"""Exported only where there is a GPU; as in "GPU Metrics" of Triton's user guide (docs/user_guide/metrics.md)."""
BY_OTHERS = {"up", "kube_job_failed"}
"""Made by Prometheus itself, and by kube-state-metrics."""

_SUFFIXES = {"counter": ("_total",), "histogram": ("_bucket", "_sum", "_count")}


def names_in(text: str, suffixes: dict[str, tuple[str, ...]] = _SUFFIXES) -> set[str]:
    """The names that can be asked for, of families in Prometheus' text format, also of those without samples yet."""
    families = text_string_to_metric_families(text)
    return {f"{family.name}{suffix}" for family in families for suffix in suffixes.get(family.type, ("",))}


def gateway_names() -> set[str]:
    """What `python -m serving` exports."""
    return names_in(generate_latest(GatewayMetrics().registry).decode())


def streaming_names(stack: Addresses) -> set[str]:
    """What the consumer, the catalogue and the archive export; the catalogue adds to what they share."""
    metrics = StreamingMetrics()
    settings = StreamingSettings(
        kafka_bootstrap_servers=stack.kafka_bootstrap_servers,
        redis_url=SecretStr(stack.redis_url),
        catalogue_group="metric-names",
    )
    with closing(Catalogue(settings, "0" * 32, metrics)):
        return names_in(generate_latest(metrics.registry).decode())


def triton_names(stack: Addresses) -> set[str]:
    """What the running Triton exports once it serves a model, and what it would beside a GPU.

    Its counters have no `_total`.
    """
    ports = json.loads((stack.home / "triton" / "ports.json").read_text())
    host = stack.triton_grpc_url.rpartition(":")[0]
    planted = PlantedEnsemble(stack)
    try:
        planted.export()
        with urlopen(f"http://{host}:{ports['metrics']}/metrics", timeout=10) as answer:
            lines = answer.read().decode().splitlines()
    finally:
        planted.close()
    return {line.split()[2] for line in lines if line.startswith("# TYPE ")} | TRITON_ON_GPU


@functools.cache
def every_name(stack: Addresses) -> set[str]:
    """All that rules and dashboards may ask for."""
    return gateway_names() | streaming_names(stack) | triton_names(stack) | BY_OTHERS


def unknown(names: Iterable[str], exported: set[str]) -> list[str]:
    """The names that nobody exports."""
    return sorted(set(names) - exported)
