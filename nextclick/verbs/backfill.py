"""`nextclick backfill`: fold archived events into the online store again."""

import time
from dataclasses import asdict
from datetime import UTC, datetime

import typer

from nextclick.output import JsonOption, print_table, say, write_json
from nextclick.progress import progress_bar
from runtime.errors import NextclickError


def run(
    since: str | None = typer.Option(
        None, "--from", metavar="TIME", help="First event time: a date or ISO 8601 time, UTC if it names no zone."
    ),
    until: str | None = typer.Option(
        None, "--to", metavar="TIME", help="End, itself not included: `--to 2026-11-24` ends with the 23rd."
    ),
    json_file: JsonOption = None,
) -> None:
    """Rebuild the online store from the archive, exactly as streaming would have left it.

    Reads each partition in the order of its offsets through the consumer's own fold, so a store that holds the events
    already does not change, and it may run beside `nextclick stream` or be run again after a crash. An event adds to
    popular items once, in the order of offsets: to rebuild those too, empty the store first and leave both times out.
    Of some times, what `nextclick stream` has yet to come to is left to it.

    Example: `nextclick backfill --from 2026-11-01 --to 2026-11-24`
    """
    from nextclick.stack.addresses import KAFKA, REDIS, apply_to_environment

    apply_to_environment(require=(KAFKA, REDIS))
    from streaming.jobs.backfill import Times, backfill
    from streaming.settings import StreamingSettings

    times = Times(_milliseconds(since, "--from"), _milliseconds(until, "--to"))
    if times.since is not None and times.until is not None and times.since >= times.until:
        raise NextclickError("--from is not before --to: there is no such time")
    settings = StreamingSettings()
    started = time.monotonic()
    with progress_bar("offsets") as bar:

        def progress(done: int, total: int, events: int) -> None:
            bar(done, total, f"{events / max(time.monotonic() - started, 1e-9):,.0f} events/s")

        result = backfill(settings, times, progress)
    seconds = time.monotonic() - started
    rate = result.folded / seconds
    write_json(json_file, {**asdict(result), "seconds": seconds, "events_per_s": rate})
    counts = (result.partitions, result.new, result.repeated, result.erased)
    row = (*(f"{count:,}" for count in counts), f"{seconds:.1f}", f"{rate:,.0f}")
    print_table(("partitions", "new", "known", "erased", "seconds", "events/s"), [row])
    if result.foreign_files:
        say(f"{result.foreign_files} files were not written by `nextclick archive`: left out")


def _milliseconds(text: str | None, option: str) -> int | None:
    if text is None:
        return None
    try:
        parsed = datetime.fromisoformat(text)
    except ValueError as error:
        raise typer.BadParameter("a date or time such as 2026-11-24 or 2026-11-24T18:30", param_hint=option) from error
    return round((parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)).timestamp() * 1000)
