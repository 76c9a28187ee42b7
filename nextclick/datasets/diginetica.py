"""Reads Diginetica as SR-GNN prepares it: a session of item numbers a line, sessions in date order, no times.

Times are made up: a second between any two events, so that sessions follow one another. The sessions behind
`test_prefix_target.txt`, where that file lies beside, come after as the newest.
"""

from collections.abc import Iterator
from itertools import chain, count
from pathlib import Path

from nextclick.datasets.dataset import (
    SYNTHETIC_START_MS,
    SYNTHETIC_STEP_MS,
    Action,
    ActionEvents,
    Dataset,
    in_time_order,
    items_of,
    session_count,
)
from nextclick.datasets.errors import malformed
from nextclick.datasets.files import find_files, parse_numbers, read_lines

TRAIN_FILE = "train_sessions.txt"
TEST_FILE = "test_prefix_target.txt"
LICENCE = "CIKM Cup 2016 terms, research use only"


def read_diginetica(path: Path, limit: int | None) -> Dataset:
    files = find_files(path, [TRAIN_FILE, TEST_FILE])
    sessions = chain.from_iterable(_sessions(file) for file in files)
    actions = in_time_order(_actions(sessions), limit)
    events = ActionEvents("diginetica", actions)
    return Dataset("diginetica", items_of(actions), events, session_count(actions), True, LICENCE)


def _actions(sessions: Iterator[list[str]]) -> Iterator[Action]:
    clock = count(SYNTHETIC_START_MS, SYNTHETIC_STEP_MS)
    for number, items in enumerate(sessions, start=1):
        session_id = str(number)
        for item in items:
            yield Action(next(clock), session_id, item)


def _sessions(file: Path) -> Iterator[list[str]]:
    return _longest_sessions(file) if file.name == TEST_FILE else _whole_sessions(file)


def _whole_sessions(file: Path) -> Iterator[list[str]]:
    for line, text in read_lines(file):
        yield parse_numbers(file, line, "item numbers separated by single spaces", text)


def _longest_sessions(file: Path) -> Iterator[list[str]]:
    """Each session once: the file holds it first whole, then again and again without its last item."""
    previous: list[str] = []
    for line, text in read_lines(file):
        session = _prefix_and_target(file, line, text)
        if session != previous[:-1]:
            yield session
        previous = session


def _prefix_and_target(file: Path, line: int, text: str) -> list[str]:
    prefix, tab, target = text.partition("\t")
    expected = "item numbers separated by single spaces, a tab, and one item number"
    if not tab or " " in target:
        raise malformed(file, line, expected, text)
    return parse_numbers(file, line, expected, f"{prefix} {target}")
