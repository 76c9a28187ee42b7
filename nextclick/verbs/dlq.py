"""`nextclick dlq`: look at messages that were no valid events, and send them back once the cause is mended."""

import base64
from collections import Counter, deque
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from feature_repo.errors import Reason
from feature_repo.fields import now_ms
from nextclick.output import (
    JsonOption,
    print_facts,
    print_table,
    say,
    say_lines,
    write_bytes_for_programs,
    write_file,
    write_json,
)
from nextclick.progress import progress_bar
from runtime.errors import NextclickError

if TYPE_CHECKING:
    from streaming.dead_letters.letters import Letter
    from streaming.jobs.replay import ReplayResult
    from streaming.settings import StreamingSettings

PREVIEW_BYTES = 24
ROW_BYTES = 16

commands = typer.Typer(
    help="Look at messages that were no valid events, and send them back.",
    epilog="Example: `nextclick dlq list`, `nextclick dlq show 0@17`, `nextclick dlq replay --reason too_old`",
    no_args_is_help=True,
    rich_markup_mode="markdown",
)

REASONS = f"Only letters with this reason, one of {', '.join(Reason)}."

ReasonOption = Annotated[Reason | None, typer.Option("--reason", "-r", metavar="REASON", help=REASONS)]
FieldOption = Annotated[
    str | None, typer.Option("--field", "-f", help="Only letters about this field; `attributes` takes in all of them.")
]


@commands.command("list")
def list_letters(
    reason: ReasonOption = None,
    field: FieldOption = None,
    limit: int = typer.Option(50, "--limit", "-n", min=1, help="Most letters shown, the newest."),
    json_file: JsonOption = None,
) -> None:
    """Show the newest dead letters, and how many there are of each reason. Changes nothing.

    Example: `nextclick dlq list --field attributes --limit 10`
    """
    settings = _settings()
    from streaming.dead_letters.reader import read_letters

    counts: Counter[str] = Counter()
    newest: dict[int, deque[Letter]] = {}
    with progress_bar("reading") as progress:
        for letter in read_letters(settings, progress):
            if letter.matches(reason, field):
                counts[letter.reason] += 1
                newest.setdefault(letter.partition, deque(maxlen=limit)).append(letter)
    letters = sorted((letter for some in newest.values() for letter in some), key=lambda letter: letter.timestamp_ms)
    shown = letters[-limit:]
    write_json(json_file, {"reasons": dict(counts), "letters": [_plain(letter) for letter in shown]})
    _print_list(shown, counts)


@commands.command("show")
def show_letter(
    place: str = typer.Argument(..., metavar="PARTITION@OFFSET", help="As `nextclick dlq list` names it."),
    raw: Path | None = typer.Option(
        None, "--raw", metavar="FILE", help="Save the message's untouched bytes to FILE (`-`: standard output) instead."
    ),
    json_file: JsonOption = None,
) -> None:
    """Show one dead letter whole: why, from where, its headers, its key and its bytes.

    Example: `nextclick dlq show 0@17 --raw message.json`
    """
    partition, at, offset = place.partition("@")
    if not (at and partition.isascii() and partition.isdigit() and offset.isascii() and offset.isdigit()):
        raise typer.BadParameter("a place is PARTITION@OFFSET, for example 0@17", param_hint="PARTITION@OFFSET")
    settings = _settings()
    from streaming.dead_letters.reader import read_letter

    letter = read_letter(settings, int(partition), int(offset))
    if raw is not None:
        _save(letter.value or b"", raw)
        return
    write_json(json_file, _plain(letter))
    _print_letter(letter)


@commands.command("replay")
def replay_letters(
    reason: ReasonOption = None,
    field: FieldOption = None,
    dry_run: bool = typer.Option(False, "--dry-run", help="Only count what would be sent."),
    keep_timestamps: bool = typer.Option(
        False, "--keep-timestamps", help="Send each message with its own time, by which its event's time is judged."
    ),
    force: bool = typer.Option(False, "--force", help="Also messages that have come back three times."),
    json_file: JsonOption = None,
) -> None:
    """Send dead letters back to the topic they came from, untouched, each only once however often you ask.

    Example: `nextclick dlq replay --reason too_old --keep-timestamps --dry-run`
    """
    settings = _settings()
    from streaming.jobs.replay import ReplayOptions, replay

    options = ReplayOptions(
        reason=reason,
        field=field,
        dry_run=dry_run,
        keep_timestamps=keep_timestamps,
        force=force,
    )
    with progress_bar("replaying") as progress:
        result = replay(settings, options, progress)
    write_json(json_file, {"dry_run": dry_run, **_counts(result)})
    _print_result(result, dry_run)
    if result.refused:
        count = result.refused.total()
        raise NextclickError(
            f"Kafka did not take {count} of the letters, first {result.refusal}; run it again for these"
        )


def _settings() -> "StreamingSettings":
    from nextclick.stack.addresses import KAFKA, apply_to_environment

    apply_to_environment(require=(KAFKA,))
    from streaming.settings import StreamingSettings

    return StreamingSettings()


def _print_list(letters: "list[Letter]", counts: Counter[str]) -> None:
    if not counts:
        say("no dead letters")
        return
    rows = []
    for letter in letters:
        preview = (letter.value or b"")[:PREVIEW_BYTES]
        age = _age(letter.timestamp_ms)
        rows.append((letter.place, letter.reason, letter.field, letter.source, age, _text(preview)))
    columns = ("letter", "reason", "field", "came from", "age", "message")
    print_table(columns, rows, folded=("field", "message"))
    say()
    reasons = ", ".join(f"{count} {reason or 'without reason'}" for reason, count in counts.most_common())
    older = counts.total() - len(letters)
    say(f"{reasons}{f'; {older} older ones not shown' if older else ''}")


def _print_letter(letter: "Letter") -> None:
    facts = {
        "letter": f"{letter.place}, {_age(letter.timestamp_ms)} old",
        "reason": letter.reason,
        "error": letter.error,
        "came from": letter.source,
        "replays": str(letter.replays),
        "key": _text(letter.key),
    }
    facts |= {f"header {name}": _text(value) for name, value in letter.headers}
    print_facts(facts)
    say()
    say(f"{len(letter.value or b'')} bytes")
    say_lines(_dump(letter.value or b""))


def _print_result(result: "ReplayResult", dry_run: bool) -> None:
    kinds = {
        "to be sent" if dry_run else "sent": result.sent,
        "sent before": result.replayed_before,
        "written twice": result.repeated,
        "sent anew since": result.superseded,
        "refused": result.refused,
        "came back too often": result.hopeless,
        "of unknown origin": result.without_source,
    }
    kinds = {kind: counts for kind, counts in kinds.items() if counts or kind.endswith("sent")}
    reasons = sorted(set().union(*kinds.values()))
    rows = [(reason, *(str(counts[reason]) for counts in kinds.values())) for reason in reasons]
    rows.append(("all", *(str(counts.total()) for counts in kinds.values())))
    print_table(("reason", *kinds), rows)
    if result.not_matching:
        say(f"{result.not_matching} others do not match")
    if result.hopeless:
        say("--force sends those that came back too often")


def _age(timestamp_ms: int) -> str:
    seconds = max(0, now_ms() - timestamp_ms) // 1000
    for unit, length in (("d", 86_400), ("h", 3600), ("min", 60)):
        if seconds >= length:
            return f"{seconds // length} {unit}"
    return f"{seconds} s"


def _text(value: bytes | None) -> str:
    return "none" if value is None else value.decode("utf-8", "backslashreplace")


def _dump(value: bytes) -> str:
    """The text itself if all of it can be printed, else bytes in hexadecimal beside their characters."""
    try:
        text = value.decode()
    except UnicodeDecodeError:
        text = "\0"
    if all(character.isprintable() or character in "\n\t" for character in text):
        return text
    rows = (value[start : start + ROW_BYTES] for start in range(0, len(value), ROW_BYTES))
    return "\n".join(
        f"{n * ROW_BYTES:08x}  {row.hex(' '):<{3 * ROW_BYTES}} {_ascii(row)}" for n, row in enumerate(rows)
    )


def _ascii(row: bytes) -> str:
    return "".join(chr(byte) if 32 <= byte < 127 else "." for byte in row)


def _plain(letter: "Letter") -> dict[str, Any]:
    """As JSON can hold it; bytes in base64."""
    fields = asdict(letter) | {"key": _base64(letter.key), "value": _base64(letter.value)}
    return fields | {"headers": [[name, _base64(value)] for name, value in letter.headers]}


def _counts(result: "ReplayResult") -> dict[str, Any]:
    return {
        "sent": dict(result.sent),
        "replayed_before": dict(result.replayed_before),
        "repeated": dict(result.repeated),
        "hopeless": dict(result.hopeless),
        "without_source": dict(result.without_source),
        "superseded": dict(result.superseded),
        "refused": dict(result.refused),
        "not_matching": result.not_matching,
    }


def _base64(value: bytes | None) -> str | None:
    return None if value is None else base64.b64encode(value).decode()


def _save(value: bytes, path: Path) -> None:
    if str(path) == "-":
        write_bytes_for_programs(value)
    else:
        write_file(path, value)
