"""Every template makes an object in some scenario: what none renders, no test of the scenarios looks at."""

import re

from tests.chart.rendering import CHART, SCENARIOS, template

RENDERS_NOTHING = {"checks.yaml"}
"""It only refuses values."""


def test_every_template_makes_an_object_in_some_scenario() -> None:
    rendered = "".join(template(scenario).stdout for scenario in SCENARIOS)
    used = set(re.findall(r"^# Source: nextclick/templates/(\S+)$", rendered, re.MULTILINE))
    there = {path.name for path in (CHART / "templates").glob("*.yaml")}
    assert there - used == RENDERS_NOTHING
