"""What verbs print: JSON has standard output to itself, and long work says how far it is without a terminal too."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from nextclick.cli import commands
from nextclick.progress import StepBars


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
