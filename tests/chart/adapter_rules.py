"""The rules of prometheus-adapter by which docs/DEPLOY.md has metrics of pods served to the autoscalers."""

import yaml

from tests.chart.rendering import Object
from tests.support.project import PROJECT


def adapter_rules() -> list[Object]:
    """The prometheus-adapter rules of docs/DEPLOY.md."""
    blocks = (PROJECT / "docs" / "DEPLOY.md").read_text().split("```")
    [block] = [block for block in blocks if "metricsQuery" in block]
    return yaml.safe_load(block.removeprefix("yaml"))["rules"]["custom"]
