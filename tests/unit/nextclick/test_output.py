"""What verbs print: JSON has standard output to itself, and long work says how far it is without a terminal too."""

import ast
import io
import json
import logging
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from nextclick import output, progress
from nextclick.cli import commands
from nextclick.progress import StepBars
from nextclick.verbs import dlq, items, recommend
from runtime.exit_status import explain
from runtime.logs import JsonFormatter, TextFormatter
from serving.proto.recommender_pb2 import RecommendedItem, RecommendResponse
from tests.support.project import PROJECT

PRINTERS = {"nextclick/output.py", "nextclick/progress.py", "runtime/exit_status.py", "runtime/logs.py"}
GENERATORS = {"nextclick/reference.py", "training/export/readme_table.py"}
"""For those who work on the repository; they print no data."""
HOSTILE = "[red]x[/promo]:smile:\x1b[31m\r\b\u202e\x9b1m\u2028\nerror: forged"
SHOWN = r"[red]x[/promo]:smile:\x1b[31m\r\x08\u202e\x9b1m\u2028\nerror: forged"


def test_json_on_standard_output_is_alone_there(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("NEXTCLICK_HOME", str(tmp_path))
    answer = CliRunner().invoke(commands, ["status", "--json", "-"], catch_exceptions=False)
    assert "kafka" in json.loads(answer.stdout)
    assert "address" in answer.stderr
    file = tmp_path / "status.json"
    for arguments in ([], ["--json", str(file)]):
        answer = CliRunner().invoke(commands, ["status", *arguments], catch_exceptions=False)
        assert "address" in answer.stdout
        assert answer.stderr == ""
    assert "kafka" in json.loads(file.read_text())


def test_steps_are_lines_where_there_is_no_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    with StepBars() as bars:
        bars.begin("send [1]", 3)
        bars.advance(2)
        bars.note("half-way")
        assert capsys.readouterr().out.endswith(" s  send [1]\n")
        bars.begin("read")
    assert capsys.readouterr().out.split()[1:] == ["s", "read"]


def test_one_place_prints() -> None:
    found = [
        place
        for package in ("nextclick", "runtime", "feature_repo", "streaming", "training", "serving")
        for path in sorted((PROJECT / package).rglob("*.py"))
        for place in _prints(path)
    ]
    assert not found


def _prints(path: Path) -> Iterator[str]:
    name = str(path.relative_to(PROJECT))
    if name in PRINTERS | GENERATORS or name.endswith(("_pb2.py", "_pb2_grpc.py")):
        return
    for node in ast.walk(ast.parse(path.read_text())):
        modules = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        modules += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
        if any(module.split(".")[0] == "rich" for module in modules):
            yield f"{name}:{node.lineno} imports rich"  # type: ignore[attr-defined]
        if isinstance(node, ast.Call):
            called = ast.unparse(node.func)
            constant = all(isinstance(part, ast.Constant | ast.IfExp) for part in node.args)
            if called in ("typer.echo", "typer.secho", "click.echo") or (called == "print" and not constant):
                yield f"{name}:{node.lineno} {called}"
            if called in ("sys.stdout.write", "sys.stderr.write", "typer.get_binary_stream"):
                yield f"{name}:{node.lineno} {called}"


SHOWS: dict[str, Callable[[], object]] = {
    "a line": lambda: output.say(HOSTILE),
    "a table": lambda: output.print_table((HOSTILE, "b"), [(HOSTILE, HOSTILE)]),
    "facts": lambda: output.print_facts({HOSTILE: HOSTILE}),
    "an error": lambda: explain(HOSTILE),
    "recommend": lambda: recommend._print(RecommendResponse(items=[RecommendedItem(item_id=HOSTILE, position=1)])),
    "an item": lambda: items._print_item(HOSTILE, HOSTILE, None),
    "a report": lambda: items._report(None, {}, HOSTILE),
}


@pytest.mark.parametrize("what", SHOWS)
@pytest.mark.parametrize("is_terminal", [True, False])
def test_data_never_reaches_a_terminal_as_more_than_text(
    what: str, is_terminal: bool, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(output.console, "_width", 2000)
    monkeypatch.setattr(output.console, "_force_terminal", is_terminal)
    monkeypatch.setattr(output.console, "_color_system", None)
    SHOWS[what]()
    printed = "".join(capsys.readouterr())
    for character in "\x1b\r\b\u202e\x9b\u2028":
        assert character not in printed
    assert "\nerror: forged" not in printed
    assert SHOWN in printed


def test_a_dead_letter_is_shown_and_not_obeyed(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(output.console, "_width", 2000)
    dlq._print_list([], dlq.Counter({HOSTILE: 1}))
    assert SHOWN in capsys.readouterr().out


def test_what_a_bar_says_is_no_markup(monkeypatch: pytest.MonkeyPatch) -> None:
    written = io.StringIO()
    for name, value in {"_file": written, "_force_terminal": True, "_width": 2000, "_color_system": None}.items():
        monkeypatch.setattr(output.console, name, value)
    with StepBars() as bars:
        bars.begin(HOSTILE)
        bars.note(HOSTILE)
    with progress.progress_bar(HOSTILE) as advance:
        advance(1, 2, HOSTILE)
    with output.doing(HOSTILE) as note:
        note(HOSTILE)
    assert written.getvalue().count(SHOWN) >= 2
    assert "\x1b[31m" not in written.getvalue()


def test_bytes_of_strangers_are_not_for_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    with pytest.raises(output.NextclickError, match="send them to a file or pipe"):
        output.write_bytes_for_programs(b"\x1b[31m")


def test_log_lines_are_lines() -> None:
    try:
        raise ValueError(HOSTILE)
    except ValueError:
        record = logging.LogRecord("x", logging.ERROR, "", 0, "%s", (HOSTILE,), sys.exc_info())
    text = TextFormatter("%(message)s").format(record)
    assert text.startswith(f"{SHOWN}\nTraceback")
    assert all(line.isprintable() for line in text.split("\n"))
    line = JsonFormatter().format(record)
    assert line.isprintable()
    assert json.loads(line)["message"] == HOSTILE
