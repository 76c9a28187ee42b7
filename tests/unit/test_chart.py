"""What the chart and the settings must agree on, read from the chart's text."""

import json
import re
from pathlib import Path

from serving.settings import ServingSettings
from streaming.settings import StreamingSettings

CHART = Path(__file__).resolve().parents[2] / "helm"
ENVIRONMENT_NAME = re.compile(r"- name: ([A-Z][A-Z0-9_]+)$", re.MULTILINE)


def environment_names(*templates: str) -> set[str]:
    return {name for file in templates for name in ENVIRONMENT_NAME.findall((CHART / "templates" / file).read_text())}


def test_the_gateway_gets_only_names_that_are_its_settings() -> None:
    names = environment_names("gateway-deployment.yaml", "_helpers.tpl")
    assert "TRITON_GRPC_URL" in names
    assert names <= {field.upper() for field in ServingSettings.model_fields}


def test_the_consumer_gets_only_names_that_are_its_settings() -> None:
    names = environment_names("streaming-deployment.yaml", "_helpers.tpl")
    assert "KAFKA_BOOTSTRAP_SERVERS" in names
    assert names <= {field.upper() for field in StreamingSettings.model_fields}


def test_every_object_of_the_schema_is_closed() -> None:
    schema = json.loads((CHART / "values.schema.json").read_text())
    objects = [part for part in walk(schema) if part.get("type") == "object"]
    assert objects
    assert all(part.get("additionalProperties") is False for part in objects)


def walk(part: object) -> list[dict[str, object]]:
    children = part.values() if isinstance(part, dict) else part if isinstance(part, list) else []
    below = [found for child in children for found in walk(child)]
    return [part, *below] if isinstance(part, dict) else below
