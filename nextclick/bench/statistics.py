"""The arithmetic of the benchmarks: percentiles, spreads over repeats, quantiles of a Prometheus histogram."""

import math
import statistics
from collections.abc import Sequence
from typing import Any

PERCENTILES = (50, 90, 99)


def percentile(values: Sequence[float], percent: float) -> float:
    """The smallest value that at least `percent` of them do not exceed (nearest rank). Raises ValueError if empty."""
    if not values:
        raise ValueError("no values to take a percentile of")
    rank = math.ceil(percent / 100 * len(values))
    return sorted(values)[max(0, rank - 1)]


def percentiles(values: Sequence[float]) -> dict[str, float]:
    """p50, p90 and p99."""
    return {f"p{percent}": round(percentile(values, percent), 2) for percent in PERCENTILES}


def spread(values: Sequence[float]) -> dict[str, Any]:
    """Median, least and greatest of the repeats, and each of them in the order they were taken."""
    return {
        "median": round(statistics.median(values), 2),
        "min": round(min(values), 2),
        "max": round(max(values), 2),
        "runs": [round(value, 2) for value in values],
    }


def histogram_quantile(buckets: Sequence[tuple[float, float]], percent: float) -> float:
    """A quantile of cumulative buckets (upper bound, count), within its bucket by straight line; NaN if all are empty.

    The last bound may be infinite: a quantile in there is the bound below.
    """
    total = buckets[-1][1] if buckets else 0
    if not total:
        return math.nan
    wanted = percent / 100 * total
    lower, below = 0.0, 0.0
    for upper, count in buckets:
        if count >= wanted and count > below:
            return lower if math.isinf(upper) else lower + (upper - lower) * (wanted - below) / (count - below)
        lower, below = upper, count
    return lower


def slope(points: Sequence[tuple[float, float]]) -> float:
    """Rise of y for each x of the line that fits (x, y) best; 0 where there are too few points for a line."""
    if len({x for x, _ in points}) < 2:
        return 0.0
    return statistics.linear_regression([x for x, _ in points], [y for _, y in points]).slope
