"""Alerts and what they are made of: metrics that are exported, labels that occur, words that help."""

import re
from collections.abc import Iterator

import grpc
import pytest
from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from feature_repo.schema import SESSION_TRANSFORMER
from nextclick.stack.addresses import Addresses
from serving.metrics import GatewayMetrics
from serving.recommendation import DegradedReason
from streaming.stage.metrics import StreamingMetrics
from tests.chart.exported_metrics import every_name, unknown
from tests.chart.monitored import rules
from tests.chart.promql import matchers, metric_names
from tests.support.project import PROJECT


def expression(alert: str, *settings: str) -> str:
    [found] = [rule["expr"] for rule in rules(*settings) if rule["alert"] == alert]
    return str(found)


def values_of(label: str) -> Iterator[str]:
    """What alerts compare a label with, alternatives one by one."""
    for rule in rules():
        for name, _, value in matchers(rule["expr"]):
            if name == label:
                yield from value.split("|")


def test_every_metric_of_an_alert_is_exported(stack: Addresses) -> None:
    named = {name for rule in rules() for name in metric_names(rule["expr"])}
    assert len(named) >= 12
    assert unknown(named, every_name(stack)) == []


def test_every_alert_says_what_is_wrong_what_to_do_and_how_urgent_it_is() -> None:
    for rule in rules():
        assert rule["labels"]["severity"] in ("critical", "warning")
        assert rule["annotations"].keys() == {"summary", "description"}
        assert len(rule["annotations"]["description"]) > 60
        assert re.fullmatch(r"\d+m", rule["for"])


def test_alerts_have_names_of_their_own() -> None:
    names = [(rule["alert"], rule["labels"].get("component")) for rule in rules()]
    assert len(names) == len(set(names))


def test_alerts_compare_codes_reasons_and_models_with_ones_that_exist() -> None:
    codes = set(values_of("code"))
    assert codes
    assert codes <= {code.name for code in grpc.StatusCode}
    [degraded] = [
        value for label, _, value in matchers(expression("NextclickGatewayDegraded")) if label == "degraded_reason"
    ]
    reasons = set(DegradedReason)
    faults = {name for name in reasons if re.fullmatch(degraded, name)}
    assert reasons - faults == {"SESSION_MISSING", "SESSION_STALE"}
    assert set(values_of("model")) == {SESSION_TRANSFORMER}


@pytest.mark.parametrize(
    ("metric", "metrics", "alert", "setting"),
    [
        ("nextclick_gateway_latency_seconds", GatewayMetrics, "NextclickGatewayLatencyFastBurn", "latencySeconds"),
        ("nextclick_event_visible_seconds", StreamingMetrics, "NextclickFreshness", "freshnessSeconds"),
    ],
)
def test_a_threshold_lies_where_its_histogram_can_tell(
    metric: str, metrics: type[GatewayMetrics | StreamingMetrics], alert: str, setting: str
) -> None:
    """A quantile is never above the last finite bucket, so an alert there would stay silent."""
    built = metrics()
    if isinstance(built, GatewayMetrics):
        built.observe("Recommend", "OK", "", 0.01)
    families = {each.name: each for each in text_string_to_metric_families(generate_latest(built.registry).decode())}
    bounds = [float(sample.labels["le"]) for sample in families[metric].samples if "le" in sample.labels]
    last = sorted(bounds)[-2]
    threshold = float(re.findall(r"> ([\d.]+)", expression(alert))[0])
    assert 0 < threshold < last
    assert f"> {last / 2:g}" in expression(alert, f"metrics.rules.{setting}={last / 2:g}")


@pytest.mark.parametrize(
    ("setting", "alert"),
    [
        ("lagMessages=7777", "NextclickConsumerLag"),
        ("errorRatio=0.7777", "NextclickGatewayErrors"),
        ("degradedRatio=0.7777", "NextclickGatewayDegraded"),
        ("queueMicroseconds=7777", "NextclickTritonQueue"),
        ("gpuMemoryRatio=0.7777", "NextclickGpuMemory"),
    ],
)
def test_a_threshold_can_be_set(setting: str, alert: str) -> None:
    assert "7777" not in expression(alert)
    assert "7777" in expression(alert, f"metrics.rules.{setting}")


def test_a_job_that_succeeded_at_the_second_try_raises_no_alarm() -> None:
    """Kube-state-metrics' kube_job_failed is the Job's own condition; kube_job_status_failed counts its pods."""
    asked = expression("NextclickJobFailed")
    assert metric_names(asked) == {"kube_job_failed"}
    assert ("condition", "=", "true") in set(matchers(asked))


def test_a_gap_in_what_kafka_kept_is_told_at_once_and_of_every_stage() -> None:
    """From the moment that it was met, as a counter that begins with it shows no increase."""
    [rule] = [rule for rule in rules() if rule["alert"] == "NextclickKafkaGap"]
    assert rule["for"] == "0m"
    assert rule["labels"]["severity"] == "critical"
    assert metric_names(rule["expr"]) == {"nextclick_kafka_gap_timestamp_seconds"}
    jobs = {value for label, _, value in matchers(rule["expr"]) if label == "job"}
    assert len(jobs) == 1
    assert "(streaming|catalogue|archive)" in jobs.pop()
    assert "nextclick backfill" in rule["annotations"]["description"]
    assert "NextclickKafkaGap" in (PROJECT / "docs" / "DEPLOY.md").read_text()


def test_large_thresholds_are_written_out() -> None:
    assert "> 25000000" in expression("NextclickConsumerLag", "metrics.rules.lagMessages=25000000")


def test_what_does_not_run_raises_no_alarm() -> None:
    off = ("triton.enabled=false", "triton.externalUrl=triton:8001", "archive.enabled=false", "training.enabled=false")
    names = {rule["alert"] for rule in rules(*off)}
    assert names.isdisjoint({"NextclickTritonQueue", "NextclickGpuMemory", "NextclickArchiveLag", "NextclickJobFailed"})
    absent = {rule["labels"]["component"] for rule in rules(*off) if rule["alert"] == "NextclickAbsent"}
    assert absent == {"gateway", "streaming", "catalogue"}
    none = ("catalogue.replicas=0", "streaming.autoscaling.enabled=true", "streaming.autoscaling.minReplicas=0")
    absent = {rule["labels"]["component"] for rule in rules(*none) if rule["alert"] == "NextclickAbsent"}
    assert absent == {"gateway", "archive", "triton"}
    on_cpus = ("triton.gpu.count=0", "triton.instanceGroup.kind=cpu")
    assert "NextclickGpuMemory" not in {rule["alert"] for rule in rules(*on_cpus)}
