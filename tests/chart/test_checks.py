"""What checks.yaml refuses, because the schema cannot compare two values."""

import pytest

from tests.chart.rendering import objects, refusal, template

COMPARED = [
    (("gateway.autoscaling.enabled=true", "gateway.autoscaling.maxReplicas=1"), "gateway.autoscaling"),
    (("triton.autoscaling.enabled=true", "triton.autoscaling.minReplicas=5"), "triton.autoscaling"),
    (("streaming.autoscaling.enabled=true", "streaming.autoscaling.maxReplicas=13"), "kafka.topicPartitions"),
    (("gateway.podDisruptionBudget.maxUnavailable=2",), "gateway.podDisruptionBudget.maxUnavailable"),
    (("archive.replicas=2", "archive.podDisruptionBudget.maxUnavailable=2"), "archive.podDisruptionBudget"),
    (("gateway.port=9464",), "gateway.metricsPort"),
    (("triton.httpPort=8001",), "triton.grpcPort"),
    (("metrics.rules.enabled=true",), "metrics.monitors.enabled"),
]


@pytest.mark.parametrize(("settings", "named"), COMPARED, ids=lambda value: str(value)[:60])
def test_values_that_cannot_work_together_are_refused_by_name(settings: tuple[str, ...], named: str) -> None:
    message = refusal(*settings)
    assert named in message
    assert "checks.yaml" in message
    assert len(message.splitlines()) < 12


def test_a_budget_that_leaves_out_no_pod_is_refused_by_the_fewest_that_autoscaling_keeps() -> None:
    kept = ("gateway.autoscaling.enabled=true", "gateway.autoscaling.minReplicas=3", "gateway.replicas=9")
    assert "all of its 3 pods" in refusal(*kept, "gateway.podDisruptionBudget.maxUnavailable=3")
    assert objects("", *kept, "gateway.podDisruptionBudget.maxUnavailable=2")


def test_what_is_switched_off_is_not_compared() -> None:
    settings = ("gateway.autoscaling.maxReplicas=1", "gateway.podDisruptionBudget.maxUnavailable=9")
    off = ("gateway.podDisruptionBudget.enabled=false", "streaming.autoscaling.maxReplicas=99")
    assert template("", *settings, *off).returncode == 0
    assert template("", *settings, "gateway.autoscaling.enabled=true", "gateway.enabled=false").returncode == 0
