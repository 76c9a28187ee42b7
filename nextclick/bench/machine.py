"""What a figure was measured on: processor, memory, system, versions. Names no host and no person."""

import os
import platform
from importlib.metadata import version
from typing import Any

import psutil
import redis

_PACKAGES = ("feast", "hiredis", "kafka-python", "msgspec", "orjson", "redis")


def describe_machine() -> dict[str, Any]:
    """Cores that this process may use, and how busy the machine was before the run (runnable processes, 1 minute)."""
    return {
        "cores": len(os.sched_getaffinity(0)),
        "cpu": _cpu_model(),
        "ram_gib": round(psutil.virtual_memory().total / 2**30, 1),
        "os": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "load_before": round(os.getloadavg()[0], 2),
    }


def describe_versions(client: "redis.Redis") -> dict[str, str]:
    """Of the packages that matter, and of the Redis server."""
    server: Any = client.info("server")
    return {name: version(name) for name in _PACKAGES} | {"redis-server": str(server["redis_version"])}


def _cpu_model() -> str:
    try:
        with open("/proc/cpuinfo") as file:
            names = [line.partition(":")[2].strip() for line in file if line.startswith("model name")]
    except OSError:
        names = []
    return names[0] if names else platform.processor() or platform.machine()
