"""Draws a run: throughput over the backlog, freshness over the paced run."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from nextclick.bench.errors import BenchError

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SUFFIXES = (".svg", ".png")


def check_suffix(path: Path | None) -> None:
    """Raise BenchError unless it is a kind of picture that can be written."""
    if path is not None and path.suffix not in SUFFIXES:
        raise BenchError(f"--plot: expected a file that ends in {' or '.join(SUFFIXES)}, found {path.name}")


def draw(result: dict[str, Any], path: Path) -> None:
    """Write the picture of a result of `results.numbers`, as the path's ending says."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, (left, right) = pyplot.subplots(1, 2, figsize=(11, 4), layout="constrained")
    try:
        _draw_throughput(left, result)
        _draw_freshness(right, result)
        figure.savefig(path, dpi=150)
    finally:
        pyplot.close(figure)


def _draw_throughput(axes: "Axes", result: dict[str, Any]) -> None:
    run = result["details"]["long_run"]
    seconds, rates = zip(*run["throughput"], strict=True)
    axes.plot(seconds, [rate / 1000 for rate in rates], color="tab:blue", linewidth=1.5)
    axes.set_ylim(bottom=0, top=max(rates) / 1000 * 1.25)
    axes.set_xlabel("seconds of the backlog")
    axes.set_ylabel("throughput, 1,000 events/s", color="tab:blue")
    axes.set_title(f"{result['dataset']['name']}, {run['events']:,} events, one process, all views", fontsize=10)
    axes.grid(alpha=0.3)
    memory = axes.twinx()
    at, rss = zip(*run["rss_mb"], strict=True)
    memory.plot(at, rss, color="tab:grey", linewidth=1.2, linestyle="--")
    memory.set_ylim(bottom=0, top=max(rss) * 1.6)
    memory.set_ylabel("memory of the process, MB (dashed)", color="tab:grey")


def _draw_freshness(axes: "Axes", result: dict[str, Any]) -> None:
    series = result["details"]["freshness"]["by_second"]
    seconds = [point["second"] for point in series]
    axes.plot(seconds, [point["p99"] for point in series], color="tab:red", linewidth=1.5, label="p99 of each second")
    axes.plot(seconds, [point["p50"] for point in series], color="tab:green", linewidth=1.5, label="p50 of each second")
    axes.set_ylim(bottom=0, top=max(point["p99"] for point in series) * 1.35)
    axes.set_xlabel("seconds of the paced run")
    axes.set_ylabel("event → visible in Redis, ms")
    axes.set_title(f"freshness at {result['settings']['rate']:,} events/s", fontsize=10)
    axes.grid(alpha=0.3)
    axes.legend(fontsize=9, loc="upper right")
