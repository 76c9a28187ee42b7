"""`nextclick archive`: append events from Kafka to the Parquet archive, and keep its files few."""

import os
import re
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import asdict
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import typer

from nextclick.output import JsonOption, print_table, say, write_json
from nextclick.progress import progress_bar

if TYPE_CHECKING:
    from streaming.jobs.compaction import Compacted, Keep
    from streaming.settings import StreamingSettings

commands = typer.Typer(
    epilog="Example: `ARCHIVE_PATH=s3://bucket/events nextclick archive`, `nextclick archive compact --dry-run`",
    rich_markup_mode="markdown",
)

_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
_MIB = 1024 * 1024


def _duration(text: str) -> timedelta:
    match = re.fullmatch(r"(\d{1,6})([smhd])", text)
    if not match:
        raise typer.BadParameter("a duration is a number and s, m, h or d: 90m", param_hint="--older-than")
    return timedelta(**{_UNITS[match[2]]: int(match[1])})


@commands.callback(invoke_without_command=True)
def run(context: typer.Context) -> None:
    """Consume the topic `events` and write Parquet files by event date under ARCHIVE_PATH, until SIGTERM or Ctrl-C.

    `nextclick archive compact` merges the small files that this leaves.

    ARCHIVE_PATH is a folder or a URL such as `s3://bucket/prefix` or `gs://bucket/prefix`; those two need
    `pip install 'nextclick[s3]'` or `'nextclick[gcs]'`, and take credentials from the environment. While it cannot be
    written, nothing is committed and nothing lost: the messages wait in Kafka.

    Example: `ARCHIVE_PATH=./archive nextclick archive`
    """
    if context.invoked_subcommand is not None:
        return
    from nextclick.stack.addresses import KAFKA, apply_to_environment

    apply_to_environment(require=(KAFKA,))
    from streaming.archive.writer import run_archive
    from streaming.settings import StreamingSettings

    run_archive(StreamingSettings())


@commands.command()
def compact(
    older_than: str = typer.Option("1h", metavar="DURATION", help="Leave younger files alone: 0s, 90m, 1h, 7d."),
    target_mib: int = typer.Option(128, "--target-mib", min=1, help="Largest size of a merged file."),
    dry_run: bool = typer.Option(False, "--dry-run", help="Only tell what would be merged."),
    json_file: JsonOption = None,
) -> None:
    """Merge the small files of each date and partition, in the order of their offsets, compressed with zstd.

    Safe beside `nextclick archive` and at any moment of a crash: readers take a row once, though it may stand in two
    files for a while. The newest files of a partition are left alone. Rows of erased people that a writer still had in
    hand go as well, if Kafka is there to ask. One compaction or erasure runs at a time.

    Example: `nextclick archive compact --older-than 1d --json compacted.json`
    """
    from feature_repo.archive.folder import open_archive
    from nextclick.stack.addresses import apply_to_environment
    from streaming.jobs.compaction import CompactionOptions, compact, plan
    from streaming.settings import StreamingSettings

    options = CompactionOptions(_duration(older_than).total_seconds(), target_mib * _MIB)
    apply_to_environment()
    settings = StreamingSettings()
    folder = open_archive(settings.archive_path)
    if dry_run:
        dates = plan(folder.list().files, options, time.time())
    else:
        with _erased_rows_dropped(settings) as keep, progress_bar("merging files") as progress:
            dates = compact(folder, options, keep, progress)
    write_json(json_file, {"dry_run": dry_run, "dates": [_plain(of_date) for of_date in dates]})
    _print(dates, dry_run)


@contextmanager
def _erased_rows_dropped(settings: "StreamingSettings") -> "Iterator[Keep | None]":
    """What drops the rows of erased people; None where no Kafka is set or running."""
    from nextclick.stack.addresses import KAFKA

    if not os.environ.get(KAFKA):
        yield None
        return
    from streaming.erasures import Erasures
    from streaming.jobs.erased_rows import without_erased

    with closing(Erasures(settings)) as erasures:
        yield lambda table: without_erased(table, erasures)


def _plain(of_date: "Compacted") -> dict[str, Any]:
    fields = asdict(of_date) | {"event_date": of_date.event_date.isoformat()}
    return {name: value for name, value in fields.items() if name != "merges"}


def _print(dates: "list[Compacted]", dry_run: bool) -> None:
    if not dates:
        say("nothing to merge")
        return
    columns = ["date", "files before", "files after", "MiB before"]
    columns += [] if dry_run else ["MiB after", "rows merged"]
    rows = []
    for of_date in dates:
        row = [str(of_date.event_date), str(of_date.files_before), str(of_date.files_after)]
        row.append(f"{of_date.bytes_before / _MIB:.2f}")
        done = [f"{of_date.bytes_after / _MIB:.2f}", str(of_date.rows)]
        rows.append([*row, *([] if dry_run else done)])
    print_table(columns, rows)
