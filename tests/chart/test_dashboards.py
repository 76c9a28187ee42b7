"""The Grafana dashboards: what they draw is exported, and they say what it is."""

import json
from pathlib import Path
from typing import Any

import pytest

from nextclick.stack.addresses import Addresses
from tests.chart.exported_metrics import every_name, unknown
from tests.chart.promql import matchers, metric_names
from tests.chart.rendering import objects
from tests.support.project import PROJECT

FOLDER = PROJECT / "helm" / "dashboards"
FILES = sorted(FOLDER.glob("*.json"))
ON = "metrics.dashboards.enabled=true"
Dashboard = dict[str, Any]
each_dashboard = pytest.mark.parametrize("file", FILES, ids=[file.stem for file in FILES])


def read(file: Path) -> Dashboard:
    return json.loads(file.read_text())


def expressions(dashboard: Dashboard) -> list[str]:
    return [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]


def test_there_is_a_dashboard_of_gateway_streaming_and_triton() -> None:
    assert [file.stem for file in FILES] == ["gateway", "streaming", "triton"]


@each_dashboard
def test_every_metric_of_a_dashboard_is_exported(file: Path, stack: Addresses) -> None:
    dashboard = read(file)
    named = {name for expr in expressions(dashboard) for name in metric_names(expr)}
    variables = dashboard["templating"]["list"]
    [probe] = [each["query"].removeprefix("label_values(") for each in variables if each["name"] == "job"]
    named.add(probe.partition(",")[0])
    assert len(named) >= 8
    assert unknown(named, every_name(stack)) == []


@each_dashboard
def test_every_panel_has_a_unit_and_says_what_it_shows(file: Path) -> None:
    for panel in read(file)["panels"]:
        assert panel["fieldConfig"]["defaults"]["unit"], panel["title"]
        assert len(panel["description"]) > 20, panel["title"]
        assert all(target["legendFormat"] for target in panel["targets"]), panel["title"]


@each_dashboard
def test_panels_show_the_chosen_release_from_the_chosen_source(file: Path) -> None:
    dashboard = read(file)
    assert {each["name"] for each in dashboard["templating"]["list"]} == {"datasource", "job"}
    assert {panel["datasource"]["uid"] for panel in dashboard["panels"]} == {"${datasource}"}
    for expr in expressions(dashboard):
        chosen = [value for label, _, value in matchers(expr) if label == "job"]
        assert len(chosen) == expr.count("{"), expr
        assert set(chosen) == {"$job"}, expr


@each_dashboard
def test_panels_do_not_overlap(file: Path) -> None:
    panels = read(file)["panels"]
    cells = [
        (x, y)
        for panel in panels
        for x in range(panel["gridPos"]["x"], panel["gridPos"]["x"] + panel["gridPos"]["w"])
        for y in range(panel["gridPos"]["y"], panel["gridPos"]["y"] + panel["gridPos"]["h"])
    ]
    assert len(cells) == len(set(cells))
    assert max(x for x, _ in cells) < 24
    assert len({panel["id"] for panel in panels}) == len(panels)


def test_dashboards_reach_the_cluster_as_they_are_with_the_label_of_the_sidecar() -> None:
    maps = [item for item in objects("", ON) if item["kind"] == "ConfigMap"]
    found = {name: text for item in maps for name, text in item["data"].items()}
    assert {name: json.loads(text) for name, text in found.items()} == {
        f"nextclick-{file.name}": read(file) for file in FILES
    }
    assert all(item["metadata"]["labels"]["grafana_dashboard"] == "1" for item in maps)


def test_dashboards_have_addresses_of_their_own() -> None:
    assert len({read(file)["uid"] for file in FILES}) == len(FILES)


def test_what_does_not_run_has_no_dashboard() -> None:
    settings = (ON, "triton.enabled=false", "triton.externalUrl=triton:8001")
    names = {name for item in objects("", *settings) if item["kind"] == "ConfigMap" for name in item["data"]}
    assert names == {"nextclick-gateway.json", "nextclick-streaming.json"}


def test_no_dashboard_is_made_unless_asked_for() -> None:
    assert not [item for item in objects("") if item["kind"] == "ConfigMap"]
