"""Which metrics and label values a PromQL expression names; one that Prometheus would not parse raises ValueError."""

from collections.abc import Iterator

from promql_parser import Expr, VectorSelector, parse

_OPERATORS = {"Equal": "=", "NotEqual": "!=", "Re": "=~", "NotRe": "!~"}
_CHILDREN = ("lhs", "rhs", "expr", "param", "vector_selector")


def metric_names(expression: str) -> set[str]:
    """Every metric that it reads."""
    return {selector.name for selector in _selectors(expression) if selector.name}


def matchers(expression: str) -> Iterator[tuple[str, str, str]]:
    """The label, the operator and the value of each of its matchers."""
    for selector in _selectors(expression):
        for matcher in selector.matchers.matchers:
            yield matcher.name, _OPERATORS[str(matcher.op).rpartition(".")[2]], matcher.value


def _selectors(expression: str) -> Iterator[VectorSelector]:
    # Grafana puts a duration in the variable's place before Prometheus sees it.
    yield from _below(parse(expression.replace("$__rate_interval", "5m")))


def _below(node: Expr) -> Iterator[VectorSelector]:
    if isinstance(node, VectorSelector):
        yield node
    children = [getattr(node, name, None) for name in _CHILDREN] + list(getattr(node, "args", ()))
    for child in children:
        if isinstance(child, Expr):
            yield from _below(child)
