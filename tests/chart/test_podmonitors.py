"""How Prometheus reads metrics of the pods; that alerts ask about the same: test_monitoring.py."""

from tests.chart.rendering import COMPONENT, of_kind

ON = "metrics.monitors.enabled=true"


def test_every_pods_metrics_are_read_as_often_as_the_values_say() -> None:
    monitors = of_kind("", "PodMonitor", ON, "metrics.monitors.interval=7s")
    assert len(monitors) == 5
    for monitor in monitors:
        assert [endpoint["interval"] for endpoint in monitor["spec"]["podMetricsEndpoints"]] == ["7s"]


def test_nothing_renames_the_jobs_by_which_alerts_and_dashboards_know_a_component() -> None:
    for monitor in of_kind("", "PodMonitor", ON):
        assert "jobLabel" not in monitor["spec"]
        [endpoint] = monitor["spec"]["podMetricsEndpoints"]
        assert not {"relabelings", "metricRelabelings"} & endpoint.keys()


def test_what_does_not_run_is_not_watched() -> None:
    off = ("triton.enabled=false", "triton.externalUrl=triton:8001", "archive.enabled=false")
    watched = {item["metadata"]["labels"][COMPONENT] for item in of_kind("", "PodMonitor", ON, *off)}
    assert watched == {"gateway", "streaming", "catalogue"}
