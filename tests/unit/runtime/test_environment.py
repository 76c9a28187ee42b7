"""What imports do to the environment is undone; protobuf in pure Python is told."""

import os
import subprocess
import sys
from contextlib import suppress

import pytest

from runtime.environment import environment_kept
from tests.support.project import PROJECT

METRICS = """
import logging
from prometheus_client import generate_latest
from serving.metrics import GatewayMetrics
from streaming.stage.metrics import StreamingMetrics
logging.basicConfig()
for metrics in (GatewayMetrics(), StreamingMetrics()):
    print(metrics.registry.get_sample_value("nextclick_protobuf_pure_python"))
"""


def test_what_is_set_removed_or_changed_is_as_before(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REMOVED", "1")
    monkeypatch.setenv("CHANGED", "1")
    monkeypatch.delenv("SET", raising=False)
    before = dict(os.environ)
    with suppress(ImportError), environment_kept():
        os.environ["SET"] = os.environ["CHANGED"] = "2"
        del os.environ["REMOVED"]
        raise ImportError
    assert dict(os.environ) == before


@pytest.mark.parametrize(("implementation", "values"), [("python", ["1.0", "1.0"]), ("upb", ["0.0", "0.0"])])
def test_a_process_on_pure_python_says_so_in_its_log_and_metrics(implementation: str, values: list[str]) -> None:
    env = {**os.environ, "PROTOCOL_BUFFERS_PYTHON_IMPLEMENTATION": implementation}
    done = subprocess.run(
        [sys.executable, "-c", METRICS], capture_output=True, text=True, timeout=120, check=True, env=env, cwd=PROJECT
    )
    assert done.stdout.split() == values, done.stderr
    assert ("protobuf runs in pure Python" in done.stderr) is (implementation == "python")
