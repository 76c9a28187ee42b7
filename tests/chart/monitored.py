"""The alerts as the chart makes them beside their monitors."""

from tests.chart.rendering import Object, of_kind

ON = ("metrics.rules.enabled=true", "metrics.monitors.enabled=true")


def rules(*settings: str, scenario: str = "") -> list[Object]:
    """Every alert of every group."""
    [rule] = of_kind(scenario, "PrometheusRule", *ON, *settings)
    return [alert for group in rule["spec"]["groups"] for alert in group["rules"]]
