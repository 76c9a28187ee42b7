"""`nextclick items`: change the catalogue, look at it, and write it to the file that training reads."""

import asyncio
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table

from nextclick.output import JsonOption, console, write_json
from nextclick.progress import progress_bar
from runtime.errors import NextclickError

if TYPE_CHECKING:
    from feature_repo.schema import Item
    from streaming.catalogue.topic import Progress
    from streaming.settings import StreamingSettings

commands = typer.Typer(
    help="Change the catalogue, look at it, and write it to the file that training reads.",
    epilog="Example: `nextclick items load catalogue.parquet`, `nextclick items show i42`, `nextclick items export`",
    no_args_is_help=True,
    rich_markup_mode="markdown",
)

FileArgument = Annotated[Path, typer.Argument(metavar="FILE", help="Parquet, or one JSON object a line.")]
IdArgument = Annotated[str, typer.Argument(metavar="ID", help="The item's id.")]
IdsArgument = Annotated[list[str], typer.Argument(metavar="ID…", help="Ids of items.")]


@commands.command()
def load(file: FileArgument, json_file: JsonOption = None) -> None:
    """Send every item of FILE to the topic `items`; `nextclick catalogue` brings them into the online store.

    Fields: item_id, and if you like title, category, brand, price, tags, available. Others are left out. What FILE does
    not name stays as it is, items and fields; a field that is null is emptied. Nothing is sent unless every row is
    good.

    Example: `nextclick items load catalogue.jsonl`
    """
    from feature_repo.catalogue.changes import changed_items, check_file

    settings = _settings()
    from streaming.catalogue.topic import send_items

    with console.status(f"checking {escape(str(file))}"):
        total, partly = check_file(file)
    with progress_bar("reading items") as progress:
        known = _known(settings, partly, progress) if partly else {}
    with progress_bar("sending items") as progress:
        sent = send_items(settings, changed_items(file, known), total, progress)
    words = f"{sent} {'item' if sent == 1 else 'items'} sent to {settings.items_topic}"
    _report(json_file, {"sent": sent, "topic": settings.items_topic}, words)


@commands.command()
def delete(item_ids: IdsArgument, json_file: JsonOption = None) -> None:
    """Delete items from the catalogue: their rows go, and they are never recommended until they are loaded again.

    Example: `nextclick items delete i42 i43`
    """
    from feature_repo.errors import FieldError
    from feature_repo.fields import check_id

    for item_id in item_ids:
        try:
            check_id("item_id", item_id)
        except FieldError as error:
            raise typer.BadParameter(str(error), param_hint="ID…") from error
    settings = _settings()
    from streaming.catalogue.topic import send_items

    unique = list(dict.fromkeys(item_ids))
    with progress_bar("deleting items") as progress:
        sent = send_items(settings, ((item_id, None) for item_id in unique), len(unique), progress)
    words = f"{sent} {'deletion' if sent == 1 else 'deletions'} sent to {settings.items_topic}"
    _report(json_file, {"deleted": sent, "topic": settings.items_topic}, words)


@commands.command()
def show(item_id: IdArgument, json_file: JsonOption = None) -> None:
    """Show what the online store knows of an item, and whether the gateway may recommend it.

    Example: `nextclick items show i42 --json -`
    """
    from nextclick.stack.addresses import REDIS, apply_to_environment

    apply_to_environment(require=(REDIS,))
    item, unavailable = asyncio.run(_read(item_id))
    if item is None and not unavailable:
        raise NextclickError(
            f"item {item_id} is not in the catalogue: `nextclick items load` sends items, "
            "`nextclick catalogue` brings them into the online store"
        )
    state = "available" if not unavailable else "unavailable" if item else "deleted"
    write_json(json_file, {"item_id": item_id, "state": state, "item": asdict(item) if item else None})
    _print_item(item_id, state, item)


@commands.command()
def export(
    file: Annotated[Path | None, typer.Argument(metavar="[FILE]", help="Written whole. [default: ITEMS_PATH]")] = None,
    json_file: JsonOption = None,
) -> None:
    """Write the catalogue, as the topic `items` has it now, to the Parquet file that training reads.

    Run it before `nextclick train`, so that the model learns with today's categories and prices.

    Example: `nextclick items export && nextclick train`
    """
    from feature_repo.catalogue.files import write_items

    settings = _settings()
    from streaming.catalogue.topic import read_catalogue

    with progress_bar("reading items") as progress:
        items, invalid = read_catalogue(settings, progress)
    path = file or settings.items_path
    write_items(path, items)
    words = f"{len(items)} items written to {path}" + (f", {invalid} invalid messages left out" if invalid else "")
    _report(json_file, {"items": len(items), "invalid": invalid, "file": str(path)}, words)


def _settings() -> "StreamingSettings":
    from nextclick.stack.addresses import KAFKA, apply_to_environment

    apply_to_environment(require=(KAFKA,))
    from streaming.settings import StreamingSettings

    return StreamingSettings()


def _known(settings: "StreamingSettings", item_ids: "set[str]", progress: "Progress") -> "dict[str, Item]":
    """Those of the items that the topic has now."""
    from streaming.catalogue.topic import read_catalogue
    from streaming.kafka.topics import ensure_items_topic

    ensure_items_topic(settings)
    items, _ = read_catalogue(settings, progress)
    return {item.item_id: item for item in items if item.item_id in item_ids}


def _report(json_file: Path | None, numbers: dict[str, Any], words: str) -> None:
    write_json(json_file, numbers)
    console.print(words, highlight=False, markup=False, soft_wrap=True)


async def _read(item_id: str) -> "tuple[Item | None, bool]":
    from feature_repo.online.availability import AvailabilityReader
    from feature_repo.online.store import OnlineStoreReader
    from feature_repo.settings import SharedSettings

    settings = SharedSettings()
    store, availability = OnlineStoreReader(settings), AvailabilityReader(settings)
    try:
        return await store.read_item(item_id), await availability.is_unavailable(item_id)
    finally:
        await store.close()
        await availability.close()


def _print_item(item_id: str, state: str, item: "Item | None") -> None:
    facts = {"item": item_id, "state": state}
    if item:
        price = "" if item.price is None else f"{item.price:g}"
        facts |= {"title": item.title, "category": item.category, "brand": item.brand, "price": price}
        facts["tags"] = ", ".join(item.tags)
    table = Table.grid(padding=(0, 2))
    for name, value in facts.items():
        table.add_row(name, escape(_printable(value)) or "–")
    console.print(table, highlight=False)


def _printable(text: str) -> str:
    """Nothing that a terminal would act on: a stranger may have sent it."""
    return "".join(character if character.isprintable() else ascii(character)[1:-1] for character in text)
