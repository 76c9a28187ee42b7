"""How a program ends: an interrupt at certain moments, by hooks and not by time; and an error that nobody foresaw."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

AT_IMPORT = """
import os, runpy, sys
number, moment, module, *sys.argv = sys.argv[1:]

class Hook:
    def find_spec(self, name, path=None, target=None):
        if name == moment:
            os.kill(os.getpid(), int(number))

sys.meta_path.insert(0, Hook())
sys.argv.insert(0, module)
runpy.run_module(module, run_name="__main__", alter_sys=True)
"""
WORK = """
import atexit, os, signal, sys, threading, time, weakref
from nextclick.interrupts import interrupt_when_safe
from runtime.program import run

def interrupt():
    os.kill(os.getpid(), signal.SIGINT)
    for _ in range(1000):
        pass

class Client:  # as Triton's: its destructor wants what its constructor did not come to
    def __init__(self):
        interrupt()
        self.channel = None
    def __del__(self):
        self.channel.close()

class Interrupted:
    def __del__(self):
        interrupt()

class Plain:
    pass

def work():
    interrupt_when_safe()
    {work}
    return 0

run(work)
"""
MOMENTS = {
    "a constructor": "Client()",
    "a destructor": "Interrupted(); time.sleep(60)",
    "a callback of a weak reference": "x = Plain(); r = weakref.ref(x, lambda _: interrupt()); del x; time.sleep(60)",
    "the end of the interpreter": "atexit.register(interrupt)",
    "a wait for a thread": "threading.Thread(target=lambda: (interrupt(), time.sleep(60))).start()",
    "what turns it into another error": """
    try:
        interrupt()
    except BaseException as error:
        raise RuntimeError("lost") from error""",
    "a prompt": "import typer; signal.raise_signal(signal.SIGINT); typer.confirm('sure?', abort=True)",
}
INTERRUPTED = 128 + signal.SIGINT


def run(program: str, *arguments: str, **environment: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-c", program, *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
        env={**os.environ, **environment},
    )


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize(
    ("moment", "module", "arguments"),
    [
        ("nextclick.cli", "nextclick", "status"),
        ("typer.main", "nextclick", "--help"),
        ("rich.console", "nextclick", "train"),
        ("pydantic", "nextclick", "recommend -s visit"),
        ("streaming.settings", "streaming", "consumer"),
        ("streaming.sessions.consumer", "streaming", "consumer"),
        ("serving.server", "serving", ""),
        ("redis.asyncio", "serving", ""),
        ("feature_repo.feature_store", "feature_repo", ""),
        ("sqlalchemy", "feature_repo", ""),
    ],
)
def test_a_signal_in_the_imports_is_silent(
    moment: str, module: str, arguments: str, number: signal.Signals, tmp_path: Path
) -> None:
    done = run(AT_IMPORT, str(int(number)), moment, module, *arguments.split(), NEXTCLICK_HOME=str(tmp_path))
    assert (done.returncode, done.stdout, done.stderr) == (128 + number, "", "")


@pytest.mark.parametrize(
    ("moment", "arguments"),
    [
        ("nextclick.stack.lifecycle", "status"),
        ("nextclick.stack.processes", "down"),
        ("grpc", "recommend -s visit"),
        ("training.train", "train"),
        ("torch", "train"),
        ("pandas", "evaluate"),
        ("pyarrow.parquet", "evaluate"),
        ("feature_repo.feature_store", "up"),
    ],
)
def test_ctrl_c_in_the_imports_of_a_verb_is_silent(moment: str, arguments: str, tmp_path: Path) -> None:
    home = str(tmp_path / "home")
    done = run(AT_IMPORT, str(int(signal.SIGINT)), moment, "nextclick", *arguments.split(), NEXTCLICK_HOME=home)
    assert (done.returncode, done.stdout, done.stderr) == (INTERRUPTED, "", "")


@pytest.mark.parametrize("moment", MOMENTS)
def test_ctrl_c_is_silent_and_never_lost(moment: str) -> None:
    done = run(WORK.format(work=MOMENTS[moment]))
    assert (done.returncode, done.stderr) == (INTERRUPTED, "")


def test_what_nobody_foresaw_is_one_line_and_a_log(tmp_path: Path) -> None:
    broken = WORK.format(work="raise RuntimeError('[red]broken\\x1b[31m\\nerror: all is well')")
    for home in (tmp_path, tmp_path / "not made"):
        done = run(broken, NEXTCLICK_HOME=str(home), TMPDIR=str(tmp_path))
        assert done.returncode == 1
        (line,) = done.stderr.splitlines()
        assert line.startswith(
            r"error: RuntimeError: [red]broken\x1b[31m\nerror: all is well (this should not happen: "
        )
        log = Path(line.rpartition("with ")[2].removesuffix(")"))
        assert log.parent == (home / "logs" if home == tmp_path else tmp_path)
        assert "Traceback (most recent call last)" in log.read_text()
        assert log.stat().st_mode & 0o077 == 0
    assert not (tmp_path / "not made").exists()


def test_with_logs_in_json_the_traceback_is_a_line_of_them() -> None:
    work = "from runtime.logs import LogSettings, set_up_logs; set_up_logs(LogSettings()); {}['gone']"
    done = run(WORK.replace("{work}", work), LOG_FORMAT="json")
    logged, line = done.stderr.splitlines()
    assert json.loads(logged)["exception"].endswith("KeyError: 'gone'")
    assert line.startswith("error: KeyError: 'gone' (this should not happen")
    assert done.returncode == 1


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        ("MemoryError()", "there is not enough memory: end other programs, or give it less to do at once"),
        ("OSError(28, 'No space left on device')", "the disk is full: make room, then run it again"),
        ("PermissionError(13, 'Permission denied', '/a\\x1bfile')", r"/a\x1bfile: Permission denied"),
        (
            "ModuleNotFoundError('x', name='torch')",
            "torch is not installed here: run `pip install 'nextclick[training]'`",
        ),
    ],
)
def test_what_the_system_refuses_is_one_line(error: str, expected: str) -> None:
    done = run(WORK.format(work=f"raise {error}"))
    assert (done.returncode, done.stderr) == (1, f"error: {expected}\n")
