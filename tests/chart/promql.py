"""Which metrics and label values a PromQL expression names."""

import re
from collections.abc import Iterator

_TEXT = re.compile(r"\"(?:[^\"\\]|\\.)*\"")
_GROUPING = re.compile(r"\b(?:by|without|on|ignoring|group_left|group_right)\s*\([^)]*\)")
_BRACKETS = re.compile(r"\{[^}]*\}|\[[^\]]*\]")
_NAME = re.compile(r"(?<![\w.$])[a-zA-Z_:][\w:]*(?!\s*\(|\w)")
_WORDS = {
    "and",
    "or",
    "unless",
    "by",
    "bool",
    "offset",
    "on",
    "ignoring",
    "group_left",
    "group_right",
    "without",
    "inf",
}
_MATCHER = re.compile(r"(\w+)\s*(=~|!~|!=|=)\s*\"((?:[^\"\\]|\\.)*)\"")


def metric_names(expression: str) -> set[str]:
    """Every metric that it reads: what is neither a function, a keyword, a label nor a number."""
    bare = _BRACKETS.sub("", _GROUPING.sub(" ", _TEXT.sub('""', expression)))
    return {name for name in _NAME.findall(bare) if name not in _WORDS}


def matchers(expression: str) -> Iterator[tuple[str, str, str]]:
    """The label, the operator and the value of each of its matchers."""
    yield from _MATCHER.findall(expression)
