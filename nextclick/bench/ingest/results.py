"""From what a run has seen to its numbers: those of the JSON file, and each figure beside what it has to reach."""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

from nextclick.bench.ingest.backlog import BacklogRun, Sample
from nextclick.bench.ingest.freshness import Freshness, Seen
from nextclick.bench.ingest.run import LENGTHS, Measured
from nextclick.bench.statistics import PERCENTILES, histogram_quantile, percentile, percentiles, slope, spread

ENOUGH_EVENTS_PER_S = 20_000
LEAST_SHARE_OF_FLOOR = 0.6
LEAST_TIMES_PUSH = 5.0
LEAST_PROCESS_RATIO = 1.6
MOST_LENGTH_RATIO = 1.5
MOST_P99_MS = 100.0
MOST_RSS_GROWTH = 1.25

LONG_ENOUGH_FOR_LENGTHS = 50_000
"""Events of each length before which a consumer's CPU, in clock ticks of 10 ms, says nothing."""

LONG_ENOUGH_FOR_MEMORY = 500_000
"""Events before which caches still fill, so that memory says nothing yet."""

_WARM_SHARE = 0.05
_SERIES_POINTS = 300


class Figure(NamedTuple):
    """One line of the table."""

    name: str
    value: str
    floor: str
    required: str
    met: bool | None
    """None where this run cannot tell."""
    is_ratio: bool
    """Whether it holds on any machine, so that `--check` may fail over it."""


def numbers(measured: Measured, machine: dict[str, Any], versions: dict[str, str]) -> dict[str, Any]:
    """Everything, ready for JSON. Rates are events a second, medians of the repeats; costs are the least of them."""
    rates = ("events_per_s", "events_per_s_all_views", "bare_kafka_events_per_s", "bare_redis_events_per_s")
    memory = _memory(measured.long_run)
    result = {
        **{name: round(measured.median(name), 1) for name in (*rates, "feast_push_events_per_s")},
        "freshness_ms": percentiles([event.ms for event in measured.freshness.seen]),
        **{
            f"two_{name}{suffix}": round(measured.median(f"{name}{suffix}"), 3)
            for suffix in ("", "_all_views")
            for name in ("process_ratio", "process_ratio_limit")
        },
        "cost_by_session_length": _cost_by_length(measured),
        "rss_mb_start": memory["start_mb"],
        "rss_mb_end": memory["end_mb"],
        "machine": machine,
        "versions": versions,
        "events": measured.workload.count,
        "dataset": {"name": measured.workload.name, **measured.workload.description},
        "settings": measured.settings,
        "spreads": {name: spread(values) for name, values in measured.readings.items()},
    }
    result["details"] = {
        "views": {"events_per_s": "session_events", "events_per_s_all_views": "and user_history, popular_items"},
        "rejected_events": 0,
        "memory": memory,
        "long_run": _long_run(measured.long_run),
        "freshness": _freshness(measured.freshness),
    }
    result["figures"] = [figure._asdict() for figure in figures(result)]
    return result


def figures(result: dict[str, Any]) -> list[Figure]:
    """The table, by the numbers of `numbers`."""
    kafka, redis = result["bare_kafka_events_per_s"], result["bare_redis_events_per_s"]
    floor = min(kafka, redis)
    redis_all = result["spreads"]["bare_redis_all_views_events_per_s"]["median"]
    floors = f"Kafka {kafka:,.0f}/s, Redis {redis:,.0f}/s"
    return [
        _throughput("sessions, one process", result["events_per_s"], floor, floors),
        _throughput(
            "all views, one process",
            result["events_per_s_all_views"],
            min(kafka, redis_all),
            f"Kafka {kafka:,.0f}/s, Redis {redis_all:,.0f}/s",
        ),
        _times_push(result),
        _processes(result, "sessions", ""),
        _processes(result, "all views", "_all_views"),
        _lengths(result),
        _visible(result),
        _memory_figure(result),
    ]


def _throughput(name: str, rate: float, floor: float, floors: str) -> Figure:
    return Figure(
        name,
        f"{rate:,.0f} events/s = {rate / floor:.2f} × the slower",
        floors,
        f"{ENOUGH_EVENTS_PER_S:,} events/s or {LEAST_SHARE_OF_FLOOR} × the slower",
        rate >= ENOUGH_EVENTS_PER_S or rate >= LEAST_SHARE_OF_FLOOR * floor,
        True,
    )


def _times_push(result: dict[str, Any]) -> Figure:
    """The same rows written in both ways; the consumer as a whole also polls, parses, folds and commits."""
    pushed, whole = result["feast_push_events_per_s"], result["events_per_s"]
    times = result["spreads"]["write_alone_events_per_s"]["median"] / pushed
    return Figure(
        "write against FeatureStore.push, same micro-batches",
        f"{times:.1f} × (the whole consumer: {whole / pushed:.1f} ×)",
        f"{pushed:,.0f} events/s",
        f"{LEAST_TIMES_PUSH:.0f} ×",
        times >= LEAST_TIMES_PUSH,
        True,
    )


def _processes(result: dict[str, Any], title: str, suffix: str) -> Figure:
    """Missed only where the cores that one keeps busy, those of the servers too, are there for each."""
    processes, required = result["settings"]["processes"], LEAST_PROCESS_RATIO / 2 * result["settings"]["processes"]
    ratio, limit = result[f"two_process_ratio{suffix}"], result[f"two_process_ratio_limit{suffix}"]
    return Figure(
        f"{processes} processes, {title}",
        f"{ratio:.2f} × one",
        f"one: {result[f'events_per_s{suffix}']:,.0f} events/s; the cores allow {limit:.2f} ×",
        f"{required:.1f} ×, while cores last",
        ratio >= required or (None if limit < processes else False),
        True,
    )


def _lengths(result: dict[str, Any]) -> Figure:
    costs = result["cost_by_session_length"]
    value = ", ".join(f"{costs[str(length)]['cpu_us']:.0f}" for length in LENGTHS)
    ratios = costs["ratio"]
    long_enough = result["settings"]["length_events"] >= LONG_ENOUGH_FOR_LENGTHS
    return Figure(
        f"cost at session lengths {', '.join(map(str, LENGTHS))}",
        f"{value} µs CPU an event = {ratios['cpu_us']:.2f} × (by the clock {ratios['wall_us']:.2f} ×)",
        "–",
        f"within {MOST_LENGTH_RATIO} ×" + ("" if long_enough else f", from {LONG_ENOUGH_FOR_LENGTHS:,} events on"),
        ratios["cpu_us"] <= MOST_LENGTH_RATIO if long_enough else None,
        True,
    )


def _visible(result: dict[str, Any]) -> Figure:
    fresh, rate = result["freshness_ms"], result["settings"]["rate"]
    value = " / ".join(f"{fresh[f'p{percent}']:.1f}" for percent in PERCENTILES)
    name = f"event → visible at {rate:,}/s, p50 / p90 / p99"
    return Figure(name, f"{value} ms", "–", f"p99 under {MOST_P99_MS:.0f} ms", fresh["p99"] < MOST_P99_MS, False)


def _memory_figure(result: dict[str, Any]) -> Figure:
    start, end = result["rss_mb_start"], result["rss_mb_end"]
    long_enough = result["events"] >= LONG_ENOUGH_FOR_MEMORY
    required = f"at most {MOST_RSS_GROWTH} ×" + ("" if long_enough else f", from {LONG_ENOUGH_FOR_MEMORY:,} events on")
    met = end <= MOST_RSS_GROWTH * start if long_enough else None
    name = f"memory over {result['events']:,} events"
    return Figure(name, f"{start:.0f} → {end:.0f} MB", "–", required, met, True)


def _cost_by_length(measured: Measured) -> dict[str, Any]:
    kinds = ("cpu_us", "wall_us")
    costs = {
        str(length): {kind: round(measured.least(f"{kind}_at_length_{length}"), 2) for kind in kinds}
        for length in LENGTHS
    }
    ratios = {}
    for kind in kinds:
        values = [cost[kind] for cost in costs.values()]
        ratios[kind] = round(max(values) / max(min(values), 0.01), 3)
    return {**costs, "ratio": ratios}


def _memory(run: BacklogRun) -> dict[str, float]:
    """Start is the first look after 5 % of the events, when what a consumer needs at all is there."""
    events = run.samples[-1].committed
    warm = [sample for sample in run.samples if sample.committed >= _WARM_SHARE * events]
    late = [(sample.committed / 1e6, sample.rss_mb) for sample in run.samples if sample.committed >= events / 2]
    return {
        "first_mb": round(run.samples[0].rss_mb, 1),
        "start_mb": round(warm[0].rss_mb, 1),
        "end_mb": round(run.samples[-1].rss_mb, 1),
        "max_mb": round(max(sample.rss_mb for sample in run.samples), 1),
        "late_slope_mb_per_million_events": round(slope(late), 2),
    }


def _long_run(run: BacklogRun) -> dict[str, Any]:
    timed = run.samples[run.start :]
    kept = timed[:: max(1, len(timed) // _SERIES_POINTS)]
    return {
        "events": run.events,
        "seconds": round(run.seconds, 2),
        "events_per_s": round(run.events_per_s, 1),
        "cpu_us_per_event": round(run.cpu_us_per_event, 2),
        "throughput": throughput(timed),
        "rss_mb": [[round(sample.at - timed[0].at, 2), round(sample.rss_mb, 1)] for sample in kept],
    }


def throughput(samples: Sequence[Sample]) -> list[list[float]]:
    """[seconds since the first sample, events a second], one pair a second, and ten at least."""
    series: list[list[float]] = []
    step = min(1.0, (samples[-1].at - samples[0].at) / 10)
    last = samples[0]
    for sample in samples[1:]:
        if sample.at - last.at >= step or sample is samples[-1]:
            rate = (sample.committed - last.committed) / (sample.at - last.at)
            series.append([round(sample.at - samples[0].at, 2), round(rate, 1)])
            last = sample
    return series


def _freshness(freshness: Freshness) -> dict[str, Any]:
    consumers_own = {f"p{percent}": histogram_quantile(freshness.histogram, percent) * 1000 for percent in PERCENTILES}
    return {
        "watched_events": len(freshness.seen),
        "consumer_cpu_share_of_a_core": round(freshness.consumer_cpu, 3),
        "producer_late_ms": percentiles(freshness.producer_late_ms),
        "consumer_histogram_ms": {
            name: None if math.isnan(value) else round(value, 2) for name, value in consumers_own.items()
        },
        "by_second": _by_second(freshness.seen),
    }


def _by_second(seen: Sequence[Seen]) -> list[dict[str, float]]:
    by_second: dict[int, list[float]] = {}
    for event in seen:
        by_second.setdefault(int(event.second), []).append(event.ms)
    return [
        {"second": second, "p50": round(percentile(ms, 50), 2), "p99": round(percentile(ms, 99), 2)}
        for second, ms in sorted(by_second.items())
    ]
