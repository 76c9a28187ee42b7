"""Every value of values.yaml changes what is rendered: a value that nothing reads is a promise not kept."""

import copy
import functools
import itertools
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from tests.chart.rendering import CHART, KUBERNETES, SCENARIOS, helm

VALUES = yaml.safe_load((CHART / "values.yaml").read_text())
SCHEMA = json.loads((CHART / "values.schema.json").read_text())
Keys = tuple[str, ...]


def test_every_value_changes_what_is_rendered(tmp_path: Path) -> None:
    """Values that are free get marks of their own, all at once, which must show; the others are changed one by one."""
    waiting = dict(leaves(VALUES))
    assert len(waiting) > 150
    for scenario, empty_too in itertools.product(SCENARIOS, (False, True)):
        rendered = render(tmp_path, marked(merged(scenario), empty_too))
        assert rendered, scenario
        waiting = {keys: value for keys, value in waiting.items() if not is_shown(keys, rendered)}
    for keys in [*waiting]:
        if any(changes(tmp_path, scenario, keys) for scenario in SCENARIOS):
            del waiting[keys]
    assert not [".".join(keys) for keys in waiting]


def leaves(values: dict[str, Any], above: Keys = ()) -> Iterator[tuple[Keys, Any]]:
    for key, value in values.items():
        if isinstance(value, dict) and value:
            yield from leaves(value, (*above, key))
        else:
            yield (*above, key), value


ORDER = {keys: number for number, (keys, _) in enumerate(leaves(VALUES))}


def marked(values: dict[str, Any], empty_too: bool) -> dict[str, Any]:
    """With a mark for every value that may be anything; an empty one is often a switch that is off."""
    values = copy.deepcopy(values)
    for keys, value in leaves(VALUES):
        parent = functools.reduce(lambda part, key: part[key], keys[:-1], values)
        if is_free(keys, value) and (empty_too or parent[keys[-1]] != ""):
            parent[keys[-1]] = mark(keys, value)
    return values


def is_free(keys: Keys, value: object) -> bool:
    """Whether it may be anything: no switch and no choice."""
    return not isinstance(value, bool) and "enum" not in described(keys)


def described(keys: Keys) -> dict[str, Any]:
    part = SCHEMA
    for key in keys:
        while "$ref" in part:
            part = SCHEMA["definitions"][part["$ref"].rpartition("/")[2]]
        part = part.get("properties", {}).get(key, {})
    return SCHEMA["definitions"][part["$ref"].rpartition("/")[2]] if "$ref" in part else part


def mark(keys: Keys, value: object) -> Any:
    number = ORDER[keys]
    if isinstance(value, int | float):
        # What is compared with others keeps its order: budgets below replicas, and partitions above pods.
        return {"maxUnavailable": 1000 + number, "topicPartitions": 90_000 + number}.get(keys[-1], 20_000 + number)
    word = f"mark-{number}-"
    if isinstance(value, list):
        return list_mark(keys, word, number)
    return {"example.com/mark": word} if isinstance(value, dict) else word


def list_mark(keys: Keys, word: str, number: int) -> list[Any]:
    if keys[:2] == ("networkPolicy", "ports"):
        return [20_000 + number]
    if keys[0] == "networkPolicy":
        return [{"ipBlock": {"cidr": word}}]
    return [{"key": word}] if keys[-1] == "tolerations" else [word]


def is_shown(keys: Keys, rendered: str) -> bool:
    value = functools.reduce(lambda part, key: part[key], keys, VALUES)
    if not is_free(keys, value):
        return False
    number = ORDER[keys]
    numbers = (str(20_000 + number), str(1000 + number), str(90_000 + number))
    is_number = isinstance(value, int | float) or keys[:2] == ("networkPolicy", "ports")
    return any(each in rendered for each in numbers) if is_number else f"mark-{number}-" in rendered


def changes(folder: Path, scenario: str, keys: Keys) -> bool:
    before = merged(scenario)
    after = copy.deepcopy(before)
    *above, last = keys
    parent = functools.reduce(lambda part, key: part[key], above, after)
    parent[last] = other(keys, parent[last])
    text = render(folder, after)
    return bool(text) and text != render(folder, before)


def other(keys: Keys, value: object) -> Any:
    if isinstance(value, bool):
        return not value
    choices = [choice for choice in described(keys).get("enum", ()) if choice not in (value, "")]
    return choices[0] if choices else mark(keys, value)


@functools.cache
def merged_text(scenario: str) -> str:
    def lay(over: dict[str, Any], under: dict[str, Any]) -> dict[str, Any]:
        pairs = itertools.chain(under.items(), over.items())
        result: dict[str, Any] = {}
        for key, value in pairs:
            below = result.get(key)
            result[key] = lay(value, below) if isinstance(value, dict) and isinstance(below, dict) else value
        return result

    return json.dumps(lay(yaml.safe_load((CHART / "ci" / f"{scenario}-values.yaml").read_text()), VALUES))


def merged(scenario: str) -> dict[str, Any]:
    return json.loads(merged_text(scenario))


RENDERED: dict[str, str] = {}


def render(folder: Path, values: dict[str, Any]) -> str:
    """Empty where the chart refuses to."""
    text = json.dumps(values)
    if text not in RENDERED:
        file = folder / "values.json"
        file.write_text(text)
        more = (f"--kube-version={KUBERNETES}", "--skip-schema-validation", f"--values={file}")
        done = helm("template", "shop", str(CHART), *more)
        RENDERED[text] = done.stdout if done.returncode == 0 else ""
    return RENDERED[text]
