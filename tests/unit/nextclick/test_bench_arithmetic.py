"""The numbers of a benchmark: percentiles, clocks, judgements."""

import math
from typing import Any

import pytest

from nextclick.bench.ingest.backlog import BacklogRun, Sample, start_of
from nextclick.bench.ingest.results import Figure, figures, throughput
from nextclick.bench.redis_database import with_database
from nextclick.bench.statistics import histogram_quantile, percentile, percentiles, slope, spread
from nextclick.verbs.bench import missed_ratios


def test_percentile_is_a_value_that_was_seen() -> None:
    values = [float(value) for value in range(1, 201)]
    assert percentiles(values[::-1]) == {"p50": 100, "p90": 180, "p99": 198}
    assert percentile([7.0], 99) == 7
    assert percentile([3.0, 1.0, 2.0], 0) == 1


def test_percentile_of_nothing_is_an_error() -> None:
    with pytest.raises(ValueError, match="no values"):
        percentile([], 50)


def test_spread_keeps_every_run_in_order() -> None:
    assert spread([30.0, 10.0, 20.0]) == {"median": 20, "min": 10, "max": 30, "runs": [30, 10, 20]}


def test_quantile_lies_within_its_bucket() -> None:
    buckets = [(0.01, 0.0), (0.1, 50.0), (1.0, 100.0), (math.inf, 100.0)]
    assert histogram_quantile(buckets, 50) == pytest.approx(0.1)
    assert histogram_quantile(buckets, 25) == pytest.approx(0.055)
    assert histogram_quantile(buckets, 99) == pytest.approx(0.982)
    assert histogram_quantile([(0.1, 1.0), (math.inf, 9.0)], 99) == 0.1
    assert math.isnan(histogram_quantile([(0.1, 0.0), (math.inf, 0.0)], 50))


def test_slope_of_a_line_and_of_a_point() -> None:
    assert slope([(0, 1), (1, 3), (2, 5)]) == pytest.approx(2)
    assert slope([(1, 3), (1, 4)]) == 0


def _samples(*committed: int) -> list[Sample]:
    """A second apart; each event costs a millisecond of CPU."""
    return [Sample(float(second), count, count / 1000, 100.0) for second, count in enumerate(committed)]


def test_clock_starts_when_all_have_joined_and_one_has_committed() -> None:
    samples = _samples(0, 100, 200, 600, 1000)
    assert start_of(samples, joined_at=0.0) == 1
    assert start_of(samples, joined_at=1.5) == 2
    run = BacklogRun(samples, 2)
    assert (run.events, run.seconds, run.events_per_s) == (800, 2, 400)
    assert run.cpu_us_per_event == pytest.approx(1000)
    assert run.wall_us_per_event == pytest.approx(2500)


def test_clock_of_a_small_backlog_starts_before_its_first_commit() -> None:
    assert start_of(_samples(0, 900, 1000), joined_at=1.0) == 0
    assert start_of(_samples(0, 100, 1000), joined_at=None) == 0


def test_throughput_over_time() -> None:
    samples = [Sample(second / 4, 1000 * second, 0.0, 0.0) for second in range(81)]
    series = throughput(samples)
    assert len(series) == 20
    assert all(rate == 4000 for _, rate in series)
    assert series[-1][0] == 20


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("redis://h:1/0", "redis://h:1/7"),
        ("redis://user:pass@h:1", "redis://user:pass@h:1/7"),
        ("rediss://h:1/0?db=3&protocol=3", "rediss://h:1/7?protocol=3"),
    ],
)
def test_url_of_another_database(url: str, expected: str) -> None:
    assert with_database(url, 7) == expected


_COSTS = {
    "5": {"cpu_us": 10.0, "wall_us": 20.0},
    "50": {"cpu_us": 12.0, "wall_us": 22.0},
    "500": {"cpu_us": 11.0, "wall_us": 21.0},
}
_MISSED = {"cpu_us": 1.6, "wall_us": 1.0}


def _result(**changes: Any) -> dict[str, Any]:
    """Of a machine where every target is met."""
    result = {
        "events_per_s": 30_000.0,
        "events_per_s_all_views": 21_000.0,
        "bare_kafka_events_per_s": 60_000.0,
        "bare_redis_events_per_s": 90_000.0,
        "feast_push_events_per_s": 1_000.0,
        "freshness_ms": {"p50": 5.0, "p90": 9.0, "p99": 50.0},
        "two_process_ratio": 1.7,
        "two_process_ratio_all_views": 1.65,
        "two_process_ratio_limit": 2.4,
        "two_process_ratio_limit_all_views": 2.3,
        "cost_by_session_length": {**_COSTS, "ratio": {"cpu_us": 1.2, "wall_us": 1.1}},
        "rss_mb_start": 100.0,
        "rss_mb_end": 110.0,
        "events": 1_000_000,
        "machine": {"cores": 4},
        "settings": {"processes": 2, "rate": 2000, "length_events": 200_000},
        "spreads": {
            "bare_redis_all_views_events_per_s": {"median": 50_000.0},
            "write_alone_events_per_s": {"median": 9_000.0},
        },
    }
    return result | changes


def _judge(result: dict[str, Any]) -> dict[str, bool | None]:
    return {figure.name.split(" at ")[0]: figure.met for figure in figures(result)}


def test_all_met() -> None:
    assert set(_judge(_result()).values()) == {True}


@pytest.mark.parametrize(
    ("figure", "changes"),
    [
        ("sessions, one process", {"events_per_s": 19_999.0}),
        ("all views, one process", {"events_per_s_all_views": 19_999.0}),
        ("write against FeatureStore.push, same micro-batches", {"feast_push_events_per_s": 2_000.0}),
        ("2 processes, sessions", {"two_process_ratio": 1.5}),
        ("2 processes, all views", {"two_process_ratio_all_views": 1.5}),
        (
            "cost",
            {"cost_by_session_length": {**_COSTS, "ratio": _MISSED}},
        ),
        ("event → visible", {"freshness_ms": {"p50": 1.0, "p90": 2.0, "p99": 100.0}}),
        ("memory over 1,000,000 events", {"rss_mb_end": 126.0}),
    ],
)
def test_each_target_can_be_missed(figure: str, changes: dict[str, Any]) -> None:
    judged = _judge(_result(**changes))
    assert judged.pop(figure) is False
    assert set(judged.values()) == {True}


def test_slow_machine_is_held_to_its_floor() -> None:
    slow = {"events_per_s": 6_100.0, "bare_kafka_events_per_s": 10_000.0}
    assert _judge(_result(**slow))["sessions, one process"] is True
    assert _judge(_result(**slow | {"events_per_s": 5_900.0}))["sessions, one process"] is False


def test_nothing_is_said_without_cores_or_events_enough() -> None:
    judged = _judge(_result(two_process_ratio=1.1, two_process_ratio_limit=1.5, events=100_000, rss_mb_end=200.0))
    assert judged["2 processes, sessions"] is None
    assert judged["memory over 100,000 events"] is None
    short = {"processes": 2, "rate": 2000, "length_events": 1000}
    assert _judge(_result(settings=short, cost_by_session_length={**_COSTS, "ratio": _MISSED}))["cost"] is None


def test_check_fails_over_ratios_only() -> None:
    def named(name: str, met: bool | None, is_ratio: bool) -> dict[str, Any]:
        return Figure(name, "", "", "", met, is_ratio)._asdict()

    result = {"figures": [named("a", False, False), named("b", None, True), named("c", True, True)]}
    assert missed_ratios(result) == []
    result["figures"].append(named("d", False, True))
    assert missed_ratios(result) == ["d"]
