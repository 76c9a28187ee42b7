"""Fetches MovieLens-100K: it lies inside the `recbole` wheel, and everything else in that is thrown away again.

The wheel comes through the machine's own installer, so whatever index it is set up with is used.
"""

import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from nextclick.datasets.dataset import Progress
from nextclick.datasets.errors import DatasetError
from runtime.settings import PROJECT_ROOT

WHEEL = "recbole==1.2.1"
WHEEL_SHA256 = "9c9948202011f37eb0a7c6768129313f00d6403ad221ec940d5e2d5d5f33a407"
FOLDER_IN_WHEEL = Path("recbole", "dataset_example", "ml-100k")
TIMEOUT_S = 300


def fetch_movielens(datasets: Path, progress: Progress) -> Path:
    """The folder `ml-100k` in `datasets`, fetched unless it is there; it appears whole or not at all."""
    target = datasets / FOLDER_IN_WHEEL.name
    if target.is_dir():
        return target
    progress(f"fetching MovieLens-100K out of the wheel {WHEEL}")
    try:
        datasets.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(dir=datasets, prefix=".fetch-") as folder:
            _install(Path(folder))
            _move(Path(folder) / FOLDER_IN_WHEEL, target)
    except OSError as error:
        raise DatasetError(f"{datasets}: cannot store MovieLens-100K there: {error.strerror or error}") from error
    return target


def _install(folder: Path) -> None:
    requirements = folder / "requirements.txt"
    requirements.write_text(f"{WHEEL} --hash=sha256:{WHEEL_SHA256}\n", encoding="utf-8")
    options = ["--no-deps", "--only-binary", ":all:", "--require-hashes", "--target", str(folder)]
    command = [*_installer(), *options, "--requirement", str(requirements)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_S, check=False)
    except subprocess.TimeoutExpired as error:
        raise _failed(f"no answer within {TIMEOUT_S} s") from error
    if done.returncode != 0:
        raise _failed(_first_error(done.stderr or done.stdout))


def _installer() -> list[str]:
    uv = os.environ.get("UV") or shutil.which("uv") or shutil.which("uv", path=str(PROJECT_ROOT / ".uv" / "bin"))
    if uv:
        return [uv, "pip", "install", "--quiet", "--link-mode", "copy", "--python", sys.executable]
    if importlib.util.find_spec("pip"):
        return [sys.executable, "-m", "pip", "install", "--quiet", "--no-input"]
    raise _failed("neither uv nor pip is there to fetch it with; `make demo` brings uv")


def _move(source: Path, target: Path) -> None:
    try:
        source.rename(target)
    except OSError:
        # Another process was faster: its folder is as good.
        if not target.is_dir():
            raise


def _first_error(output: str) -> str:
    """The installer's own words, in one line."""
    words = output.split("error:", 1)[-1] if "error:" in output else output
    return " ".join(words.split())[:200] or "no reason given"


def _failed(reason: str) -> DatasetError:
    return DatasetError(f"cannot fetch {WHEEL} for MovieLens-100K ({reason}); or give its folder with --path")
