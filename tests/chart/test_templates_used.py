"""Every template makes an object in some scenario, for no test looks at one that does not; and each has its tests."""

import re
from pathlib import Path

from tests.chart.rendering import CHART, SCENARIOS, template

RENDERS_NOTHING = {"checks.yaml"}
"""It only refuses values."""
ACROSS_TEMPLATES = {
    *("test_autoscaling", "test_chart_readme", "test_consumer_deployments", "test_environment", "test_every_pod"),
    *("test_monitoring", "test_templates_used", "test_third_party_servers", "test_values_schema", "test_values_used"),
}
"""Modules of what holds of several templates."""


def test_every_template_makes_an_object_in_some_scenario() -> None:
    rendered = "".join(template(scenario).stdout for scenario in SCENARIOS)
    used = set(re.findall(r"^# Source: nextclick/templates/(\S+)$", rendered, re.MULTILINE))
    there = {path.name for path in (CHART / "templates").glob("*.yaml")}
    assert there - used == RENDERS_NOTHING


def test_every_template_has_a_module_of_tests_with_its_name_and_every_module_a_template() -> None:
    there = {path.stem for path in Path(__file__).parent.glob("test_*.py")}
    templates = [*(CHART / "templates").glob("*.yaml"), CHART / "templates" / "NOTES.txt"]
    named = {f"test_{path.stem.lower().replace('-', '_')}": path.name for path in templates}
    missing = [f"{module}.py, of {named[module]}" for module in sorted(named.keys() - there)]
    assert not missing, f"tests/chart lacks {'; '.join(missing)}"
    orphans = sorted(there - named.keys() - ACROSS_TEMPLATES)
    assert not orphans, f"no template is called like {', '.join(orphans)}: name them in ACROSS_TEMPLATES, or after one"
    assert there >= ACROSS_TEMPLATES
