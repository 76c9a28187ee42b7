"""Monitors and alerts together: whom Prometheus watches, and that alerts ask about those."""

import re

from tests.chart.monitored import ON, rules
from tests.chart.promql import matchers
from tests.chart.rendering import COMPONENT, objects


def test_alerts_look_at_the_jobs_that_the_monitors_make() -> None:
    """Prometheus calls what a PodMonitor finds by the namespace and name of the PodMonitor."""
    rendered = objects("", *ON)
    [rule] = [item for item in rendered if item["kind"] == "PrometheusRule"]
    namespace = rule["spec"]["groups"][0]["name"].split(".")[0]
    jobs = {f"{namespace}/{item['metadata']['name']}" for item in rendered if item["kind"] == "PodMonitor"}
    asked = [value for alert in rules() for label, _, value in matchers(alert["expr"]) if label == "job"]
    assert len(asked) > 20
    for value in asked:
        assert any(re.fullmatch(value, job) for job in jobs), value


def test_every_component_with_metrics_is_watched_and_missed_when_it_is_gone() -> None:
    rendered = objects("", *ON)
    deployments = {item["metadata"]["labels"][COMPONENT]: item for item in rendered if item["kind"] == "Deployment"}
    monitors = {item["metadata"]["labels"][COMPONENT]: item for item in rendered if item["kind"] == "PodMonitor"}
    missed = {rule["labels"]["component"] for rule in rules() if rule["alert"] == "NextclickAbsent"}
    assert monitors.keys() == deployments.keys() == missed
    for component, monitor in monitors.items():
        template = deployments[component]["spec"]["template"]
        assert monitor["spec"]["selector"]["matchLabels"].items() <= template["metadata"]["labels"].items()
        [endpoint] = monitor["spec"]["podMetricsEndpoints"]
        [container] = template["spec"]["containers"]
        assert endpoint["port"] in [port["name"] for port in container["ports"]]


def test_monitors_and_alerts_wait_to_be_asked_for() -> None:
    kinds = {item["kind"] for item in objects("")}
    assert kinds.isdisjoint({"PodMonitor", "ServiceMonitor", "PrometheusRule"})


def test_monitors_and_alerts_carry_the_labels_that_prometheus_looks_for() -> None:
    settings = ("metrics.rules.labels.release=prometheus", "metrics.monitors.labels.release=prometheus")
    rendered = objects("", *ON, *settings)
    watched = [item for item in rendered if item["kind"] in ("PodMonitor", "PrometheusRule")]
    assert len(watched) == 6
    assert all(item["metadata"]["labels"]["release"] == "prometheus" for item in watched)
