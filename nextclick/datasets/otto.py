"""Reads OTTO sessions: JSON lines, times in milliseconds; clicks are views, carts and orders what they say.

OTTO's own split holds its test sessions twice, cut short and whole (`test_sessions_full.jsonl`), and what was cut off
as `test_labels.jsonl`. The whole ones are read.
"""

import json
import logging
from collections.abc import Iterator
from pathlib import Path

from feature_repo.schema import EventType
from nextclick.datasets.dataset import Action, ActionEvents, Dataset, actions_of, in_time_order, items_of, session_count
from nextclick.datasets.errors import malformed
from nextclick.datasets.files import check_milliseconds, find_files, parse_id, read_lines

log = logging.getLogger(__name__)

EVENT_TYPES = {
    "clicks": EventType.VIEW,
    "carts": EventType.ADD_TO_CART,
    "orders": EventType.PURCHASE,
}
LICENCE = "OTTO recommender data, CC BY 4.0"


def read_otto(path: Path, limit: int | None) -> Dataset:
    actions = in_time_order(actions_of(_files(path), _actions), limit)
    return Dataset("otto", items_of(actions), ActionEvents("otto", actions), session_count(actions), True, LICENCE)


def _files(path: Path) -> list[Path]:
    """Every session once, as far as names tell."""
    found = find_files(path, ["*train.jsonl", "*test.jsonl"], ["*.jsonl"])
    if path.is_file():
        return found
    names = {file.stem for file in found}
    files = [file for file in found if f"{file.stem}_full" not in names and not file.stem.endswith("labels")]
    left_out = sorted(file.name for file in set(path.glob("*.jsonl")) - set(files))
    if left_out:
        log.warning("left out of %s, as the other files have their sessions: %s", path, ", ".join(left_out))
    return files


def _actions(file: Path) -> Iterator[Action]:
    for line, text in read_lines(file):
        session_id, events = _session(file, line, text)
        for event in events:
            yield _action(file, line, session_id, event)


def _session(file: Path, line: int, text: str) -> tuple[str, list[object]]:
    try:
        session = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise malformed(file, line, 'a JSON object {"session": …, "events": […]}', text) from error
    if not isinstance(session, dict) or not isinstance(session.get("events"), list):
        raise malformed(file, line, 'an object with "session" and a list "events"', text)
    return _id(file, line, "session", session), session["events"]


def _action(file: Path, line: int, session_id: str, event: object) -> Action:
    if not isinstance(event, dict):
        raise malformed(file, line, 'each event an object {"aid": …, "ts": …, "type": …}', event)
    event_type = event.get("type")
    if not isinstance(event_type, str) or event_type not in EVENT_TYPES:
        raise malformed(file, line, f'"type" one of {", ".join(EVENT_TYPES)}', event_type)
    milliseconds = check_milliseconds(file, line, event.get("ts"), '"ts" milliseconds since 1970', event.get("ts"))
    return Action(milliseconds, session_id, _id(file, line, "aid", event), EVENT_TYPES[event_type])


def _id(file: Path, line: int, key: str, content: dict[str, object]) -> str:
    value = content.get(key)
    if type(value) not in (int, str):
        raise malformed(file, line, f'"{key}" a number or a string', value)
    return parse_id(file, line, f'"{key}"', str(value))
