"""`nextclick erase`: remove a person from everything that we keep."""

import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from feature_repo.schema import MAX_ID_LENGTH
from nextclick.output import JsonOption, doing, print_table, say, write_json
from nextclick.progress import progress_bar
from runtime.errors import NextclickError

if TYPE_CHECKING:
    from streaming.jobs.erase import Erased, Person, Remains
    from streaming.settings import StreamingSettings

_DAY_MS = 24 * 60 * 60 * 1000


def run(
    user_id: str = typer.Option(..., "--user", metavar="ID", help="The person's user_id."),
    dry_run: bool = typer.Option(False, "--dry-run", help="Only tell what is kept of the person."),
    yes: bool = typer.Option(False, "--yes", "-y", help="Do not ask."),
    json_file: JsonOption = None,
) -> None:
    """Remove a person from the online store and the archive, and have their events dropped wherever they come again.

    Whole sessions go, also what was anonymous in them. The topic `erasures` keeps a keyed hash of the ids (set
    ERASURE_KEY), so that the consumer, the archive and backfill drop events from before the erasure. What Kafka itself
    holds cannot be changed: the messages stay until the topic's retention ends, and are dropped by whoever reads them.
    Popular items count items, not people; trained models keep no user ids, but runs keep session ids: train again.

    Example: `nextclick erase --user alice --dry-run`
    """
    if not 0 < len(user_id) <= MAX_ID_LENGTH:
        raise typer.BadParameter(f"an id has 1 to {MAX_ID_LENGTH} characters", param_hint="--user")
    settings = _settings()
    from streaming.jobs.erase import erase, find_person, find_remains

    with progress_bar("looking through the online store") as progress:
        person = find_person(settings, user_id, progress)
    if not (dry_run or yes):
        _ask(person, json_file)
    erased = None
    if not dry_run:
        with doing("erasing") as note:
            erased = erase(settings, person, lambda step: note(f"erasing: {step}"))
    remains = find_remains(settings, user_id)
    runs = len([*settings.runs_path.glob("*/sessions.npz")])
    write_json(json_file, _numbers(person, erased, remains, runs))
    _print(person, erased, remains, runs)
    if erased and not erased.is_complete:
        raise NextclickError("the person came back while being erased: is every consumer up to date? Run it again")


def _settings() -> "StreamingSettings":
    from nextclick.stack.addresses import KAFKA, REDIS, apply_to_environment

    apply_to_environment(require=(KAFKA, REDIS))
    from streaming.settings import StreamingSettings

    return StreamingSettings()


def _ask(person: "Person", json_file: Path | None) -> None:
    if str(json_file) == "-" or not sys.stdin.isatty():
        raise NextclickError("nobody is there to ask: give --yes to erase, or --dry-run to look")
    counts = f"{len(person.session_ids)} sessions and {person.archived_events} archived events"
    typer.confirm(f"Erase {counts} for good?", abort=True)


def _numbers(person: "Person", erased: "Erased | None", remains: "Remains", runs: int) -> dict[str, Any]:
    found = {
        "sessions": len(person.session_ids),
        "history": person.has_history,
        "archived_events": person.archived_events,
    }
    kept = asdict(remains) | {"training_runs": runs}
    return {"found": found, "erased": asdict(erased) if erased else None, "remains": kept}


def _print(person: "Person", erased: "Erased | None", remains: "Remains", runs: int) -> None:
    if erased is None:
        known = "a history" if person.has_history else "no history"
        row = ["found", str(len(person.session_ids)), known, str(person.archived_events), ""]
    else:
        done = (erased.sessions, erased.online_rows, erased.archived_events, erased.archive_files)
        row = ["erased", *map(str, done)]
    print_table(("", "sessions", "online rows", "archived events", "archive files"), [row])
    for topic, retention_ms in remains.retention_ms.items():
        say(f"topic {topic}: what it holds stays {_period(retention_ms)}, read or not")
    if remains.dead_letters:
        say(f"{remains.dead_letters} dead letters hold the id and stay as long")
    if runs:
        say(f"{runs} training runs may hold session ids (sessions.npz): remove them, train again")


def _period(retention_ms: int) -> str:
    if retention_ms < 0:
        return "for ever: set the topic's retention.ms"
    return f"{retention_ms / _DAY_MS:g} days"
