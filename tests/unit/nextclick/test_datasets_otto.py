"""OTTO's sessions: what small files become, which files of a split are read, and what a malformed one gives."""

import json
from collections import Counter
from pathlib import Path

import pytest

from feature_repo.schema import EventType
from nextclick.datasets import load
from tests.support.dataset_files import error_of, write_lines


def otto_event(**changes: object) -> dict[str, object]:
    return {"aid": 3, "ts": 1659304800025, "type": "clicks"} | changes


def test_clicks_carts_and_orders_are_what_they_say(tmp_path: Path) -> None:
    events = [otto_event(type="orders", ts=30), otto_event(type="carts", ts=20), otto_event(ts=10)]
    write_lines(tmp_path, "train.jsonl", json.dumps({"session": 0, "events": events}))
    types = [event.event_type for event in load("otto", tmp_path).events]
    assert types == [EventType.VIEW, EventType.ADD_TO_CART, EventType.PURCHASE]


OTTO_SPLIT = ("train_sessions.jsonl", "test_sessions.jsonl", "test_sessions_full.jsonl", "test_labels.jsonl")


def write_otto(folder: Path, sessions: dict[str, dict[int, int]]) -> None:
    """Files by name; of each session how many events it has there."""
    for name, lengths in sessions.items():
        lines = [
            {"session": session, "events": [otto_event(aid=n, ts=1659304800025 + session + n) for n in range(length)]}
            for session, length in lengths.items()
        ]
        write_lines(folder, name, *map(json.dumps, lines))


@pytest.mark.parametrize("prefix", ["", "otto-recsys-"])
def test_ottos_own_split_is_read_once_with_its_test_sessions_whole(
    tmp_path: Path, prefix: str, caplog: pytest.LogCaptureFixture
) -> None:
    train, cut, full, labels = (prefix + name for name in OTTO_SPLIT)
    write_otto(tmp_path, {train: {1: 2, 2: 3}, cut: {7: 2, 8: 1}, full: {7: 4, 8: 2}})
    write_lines(tmp_path, labels, '{"session": 7, "labels": {"clicks": 3, "carts": [3], "orders": [3]}}')
    dataset = load("otto", tmp_path)
    assert Counter(event.session_id for event in dataset.events) == {"1": 2, "2": 3, "7": 4, "8": 2}
    assert [record.getMessage() for record in caplog.records] == [
        f"left out of {tmp_path}, as the other files have their sessions: {labels}, {cut}"
    ]


def test_the_whole_set_beside_its_split_is_what_is_read(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    write_otto(tmp_path, {"train.jsonl": {1: 2}, "test.jsonl": {7: 2}, "train_sessions.jsonl": {1: 2}})
    assert load("otto", tmp_path).session_count == 2
    assert "train_sessions.jsonl" in caplog.text


def test_files_of_other_names_are_all_read(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    write_otto(tmp_path, {"may.jsonl": {1: 2}, "june.jsonl": {2: 2}})
    assert load("otto", tmp_path).session_count == 2
    assert not caplog.records


def test_a_session_that_two_files_have_is_named(tmp_path: Path) -> None:
    write_otto(tmp_path, {"may.jsonl": {1: 2, 2: 2}, "june.jsonl": {2: 3, 3: 1}})
    message = error_of("otto", tmp_path)
    assert message.startswith(f"{tmp_path / 'may.jsonl'}: expected sessions that no other file has, found '2' in june")


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("{", "a JSON object"),
        ("", "found an empty line"),
        ("[1]", 'an object with "session" and a list "events"'),
        ('{"session": 1}', 'an object with "session" and a list "events"'),
        ('{"events": []}', '"session" a number or a string'),
        ('{"session": 1, "events": [5]}', "each event an object"),
        (json.dumps({"session": 1, "events": [otto_event(type="likes")]}), '"type" one of clicks, carts, orders'),
        (json.dumps({"session": 1, "events": [otto_event(ts="now")]}), '"ts" milliseconds since 1970'),
        (json.dumps({"session": 1, "events": [otto_event(ts=True)]}), '"ts" milliseconds since 1970'),
        (json.dumps({"session": 1, "events": [otto_event(ts=1659304800)]}), "if it is 1,000 times too small"),
        (json.dumps({"session": 1, "events": [otto_event(aid="3\0")]}), "characters without control characters"),
        (json.dumps({"session": 1, "events": [otto_event(aid=None)]}), '"aid" a number or a string'),
        (json.dumps({"session": "\ud800", "events": []}), "characters without control characters"),
        ('{"session": ' + "9" * 5000 + ', "events": []}', "a JSON object"),
        ("[" * 100_000, "a JSON object"),
    ],
)
def test_a_malformed_otto_session_is_named(tmp_path: Path, line: str, expected: str) -> None:
    file = write_lines(tmp_path, "train.jsonl", json.dumps({"session": 0, "events": [otto_event()]}), line)
    message = error_of("otto", tmp_path)
    assert message.startswith(f"{file}:2: expected ")
    assert expected in message
