"""`nextclick status`: what runs, where, and where its log is."""

from dataclasses import asdict
from typing import TYPE_CHECKING

from nextclick.output import JsonOption, print_table, write_json

if TYPE_CHECKING:
    from nextclick.stack.lifecycle import Row


def run(json_file: JsonOption = None) -> None:
    """Show the state, address, process and log of each part of the stack.

    Example: `nextclick status --json -`
    """
    from nextclick.stack.lifecycle import status

    rows = status()
    write_json(json_file, {row.name: _plain(row) for row in rows})
    print_status(rows)


def print_status(rows: "list[Row]") -> None:
    """Print the table for people."""
    cells = [(row.name, row.state, row.address, str(row.pid or ""), str(row.log or "")) for row in rows]
    print_table(("part", "state", "address", "pid", "log"), cells, folded=("log",))


def _plain(row: object) -> dict[str, object]:
    return {name: value if isinstance(value, int) else str(value or "") for name, value in asdict(row).items()}  # type: ignore[call-overload]
