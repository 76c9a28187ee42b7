"""Whatever a user can cause ends every verb in one line and an exit status. The verbs are those of the command line
itself, so that a new one is held to it too."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from nextclick.cli import run_verb
from runtime.program import _status
from tests.support.command_line import VERBS

ADDRESSES = ("KAFKA_BOOTSTRAP_SERVERS", "REDIS_URL", "TRITON_GRPC_URL", "TRITON_HTTP_URL", "GATEWAY_ADDRESS")
WITHOUT_A_STACK = {
    "up",
    "status",
    "down",
    "demo",
    "bench ingest",
    "archive compact",
    "evaluate",
    "items show",
    "export",
}
"""Verbs that start one, need none, or are asked about it elsewhere."""
NUMBERS = {"int", "float", "int range", "float range"}


End = Callable[..., tuple[int, str]]


@pytest.fixture
def end(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Iterator[End]:
    """Runs a verb as the console script does; its exit status and what it printed on standard error."""
    for name in ADDRESSES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NEXTCLICK_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("MODEL_REPOSITORY", str(tmp_path / "home" / "models"))
    monkeypatch.setenv("GATEWAY_ADDRESS", "127.0.0.1:1")
    monkeypatch.chdir(tmp_path)
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGALRM)}

    def run(*arguments: str) -> tuple[int, str]:
        capsys.readouterr()
        monkeypatch.setattr(sys, "argv", ["nextclick", *arguments])
        status = _status(run_verb)
        printed = capsys.readouterr()
        assert "\x1b" not in printed.out + printed.err
        return status, printed.err

    yield run
    for number, handler in handlers.items():
        signal.signal(number, handler)


def needed(verb: Any) -> list[str]:
    """Arguments that have to be there, of no use but well formed."""
    words = []
    for parameter in verb.params:
        if parameter.required:
            value = "0@17" if "OFFSET" in (parameter.metavar or "") else "nothing"
            words += [parameter.opts[0], value] if parameter.param_type_name == "option" else [value]
    return words


def assert_one_line(ending: tuple[int, str], status: int, *expected: str) -> None:
    assert ending[0] == status, ending[1]
    assert "Traceback" not in ending[1]
    assert "should not happen" not in ending[1]
    lines = ending[1].splitlines()
    assert len(lines) == 1, ending[1]
    for words in ("error: ", *expected):
        assert words in lines[0]


@pytest.mark.parametrize("verb", VERBS, ids=" ".join)
def test_wrong_usage_is_one_line(end: End, verb: tuple[str, ...], tmp_path: Path) -> None:
    assert_one_line(end(*verb, "--no-such-option"), 2, "--no-such-option", f"nextclick {' '.join(verb)} --help")
    (tmp_path / "file").touch()
    for parameter in VERBS[verb].params:
        if parameter.param_type_name != "option":
            continue
        option = parameter.opts[0]
        if option == "--json":
            for path in (tmp_path / "none" / "x.json", tmp_path, tmp_path / "file" / "x.json"):
                assert_one_line(end(*verb, *needed(VERBS[verb]), option, str(path)), 2, str(path.parent))
        elif not parameter.is_flag and any(kind in parameter.display_type(None) for kind in NUMBERS):
            assert_one_line(end(*verb, *needed(VERBS[verb]), option, "many"), 2, option)
    assert not (tmp_path / "home").exists(), "something was made before the arguments were read"


def test_a_number_that_no_request_can_carry_is_one_line(end: End) -> None:
    for option, value in (("--page-size", str(2**31)), ("--page-size", "-1"), ("--timeout", "-1")):
        assert_one_line(end("recommend", "--session-id", "s", option, value), 2, option)


@pytest.mark.parametrize("verb", VERBS, ids=" ".join)
def test_a_home_that_is_a_file_is_one_line(
    end: End, verb: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("GATEWAY_ADDRESS")  # so that it is looked for in the home
    (tmp_path / "home").write_text("a file")
    assert_one_line(end(*verb, *needed(VERBS[verb])), 1, "NEXTCLICK_HOME", "is no folder")
    for name, word in (("a\nb", r"a\\nb"), ("~nobody-at-all/x", "home directory"), ("\udcff", "UTF-8")):
        monkeypatch.setenv("NEXTCLICK_HOME", name)
        assert_one_line(end(*verb, *needed(VERBS[verb])), 1, "NEXTCLICK_HOME", word)
    assert [path.name for path in tmp_path.iterdir()] == ["home"]


@pytest.mark.parametrize("verb", VERBS, ids=" ".join)
def test_a_wrong_setting_is_one_line(end: End, verb: tuple[str, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOG_FORMAT", "[xml]\x1b")
    assert_one_line(end(*verb, *needed(VERBS[verb])), 1, "LOG_FORMAT")


@pytest.mark.parametrize("verb", [verb for verb in VERBS if " ".join(verb) not in WITHOUT_A_STACK], ids=" ".join)
def test_without_a_stack_it_is_one_line_that_says_what_to_do(end: End, verb: tuple[str, ...]) -> None:
    status, printed = end(*verb, *needed(VERBS[verb]))
    if "--recipe" in str([parameter.opts for parameter in VERBS[verb].params]):
        status, printed = end(*verb, "--export")  # alone it wants an archive, not a stack
    assert_one_line((status, printed), 1, "nextclick")


def test_a_recipe_that_is_none_lists_those_there_are(end: End) -> None:
    for verb in ("train", "demo"):
        assert_one_line(end(verb, "--recipe", "nope"), 1, "there is no recipe 'nope'", "default, demo, tiny")


@pytest.mark.parametrize("content", [None, b"", b"PAR1 but not really", b"\xff\xfe\x00", b"no JSON\n"])
def test_a_file_that_is_no_catalogue_is_one_line(
    end: End, content: bytes | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", "127.0.0.1:1")
    path = tmp_path / "[bold]items\x1b[31m"
    if content is not None:
        path.write_bytes(content)
    status, printed = end("items", "load", str(path))
    assert "\x1b" not in printed
    assert "Traceback" not in printed
    assert status == 1, printed
    assert len(printed.splitlines()) == 1


SCRIPT = [sys.executable, "-m", "nextclick"]


def test_nobody_reads_what_is_printed(tmp_path: Path) -> None:
    environment = {**os.environ, "NEXTCLICK_HOME": str(tmp_path)}
    for arguments in (["status"], ["--help"], ["status", "--json", "-"]):
        process = subprocess.Popen(
            [*SCRIPT, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment
        )
        assert process.stdout is not None
        process.stdout.close()
        assert process.stderr is not None
        assert process.stderr.read() == b""
        process.stderr.close()
        assert process.wait(120) in (0, 1)


def test_a_full_disk_and_closed_streams(tmp_path: Path) -> None:
    environment = {**os.environ, "NEXTCLICK_HOME": str(tmp_path)}
    for shell, status, stderr in (
        ("status > /dev/full", 1, "error: the disk is full: make room, then run it again\n"),
        ("status >&-", 0, ""),
        ("status --json /dev/full >/dev/null", 1, "error: /dev/full cannot be written: No space left on device\n"),
    ):
        command = f"{sys.executable} -m nextclick {shell}"
        done = subprocess.run(["/bin/sh", "-c", command], capture_output=True, text=True, env=environment, check=False)
        assert (done.returncode, done.stderr) == (status, stderr)
