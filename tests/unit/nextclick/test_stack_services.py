import json
from pathlib import Path

import pytest

from nextclick.stack.services import SERVERS_TIER, ServiceSpec


def test_a_service_survives_the_way_to_the_supervisor() -> None:
    spec = ServiceSpec(
        "redis",
        ("redis-server", "--save", ""),
        Path("/data"),
        Path("/logs/redis.log"),
        env={"PATH": "/bin"},
        address="redis://127.0.0.1:1/0",
        variables={"REDIS_URL": "redis://127.0.0.1:1/0"},
        tier=SERVERS_TIER,
        stop_seconds=3.0,
    )
    assert ServiceSpec.from_request(json.loads(json.dumps(spec.to_request()))) == spec


@pytest.mark.parametrize("change", [{"name": ""}, {"argv": []}, {"argv": [""]}, {"argv": [1]}, {"unknown": 1}])
def test_a_service_without_name_or_program_is_refused(change: dict[str, object]) -> None:
    request = ServiceSpec("sleep", ("sleep", "1"), Path("/"), Path("/log"), env={}).to_request()
    with pytest.raises((ValueError, TypeError)):
        ServiceSpec.from_request(request | change)
