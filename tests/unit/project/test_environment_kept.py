"""No import changes the environment of a process, which its children inherit, nor what was chosen by it."""

import os
import re
import subprocess
import sys

from tests.support.project import PROJECT, SET_BY_LIBRARIES
from tests.support.waiting import LIMIT_SECONDS

PACKAGES = ("nextclick", "runtime", "feature_repo", "streaming", "training", "serving")
CHANGING = re.compile(r"^ *(?:import|from) (?:feast|nvtabular|merlin)\b", re.MULTILINE)
"""Imports of libraries that change it."""

SEEN_IN_A_FRESH_PROCESS = """
import importlib, os, sys
before = dict(os.environ)
def look(after):
    changed = {name for name, _ in before.items() ^ os.environ.items()}
    if changed:
        sys.exit(f"{after} changes {sorted(changed)}")
"""
CHOSEN = """
from google.protobuf.internal import api_implementation
from prometheus_client import values
print(api_implementation.Type(), values.ValueClass.__name__)
"""
EVERY_MODULE = """
for name in sys.argv[1:]:
    importlib.import_module(name)
    look(name)
"""
NVTABULAR = """
from training.data import preprocess
with preprocess._nvtabular():
    look("_nvtabular")
import merlin.schema
look("merlin.schema")
"""
FEAST = """
from feature_repo.feature_store import open_feature_store
from feature_repo.settings import SharedSettings
open_feature_store(SharedSettings(nextclick_home=sys.argv[1]))
import feast.metrics
look("open_feature_store")
"""


def chosen_after(script: str, *arguments: str) -> str:
    environment = {name: value for name, value in os.environ.items() if name not in SET_BY_LIBRARIES}
    command = [sys.executable, "-W", "ignore", "-c", SEEN_IN_A_FRESH_PROCESS + script + CHOSEN, *arguments]
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=LIMIT_SECONDS, check=False, cwd=PROJECT, env=environment
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout.splitlines()[-1]


def modules_of(package: str) -> list[str]:
    paths = [path.relative_to(PROJECT).with_suffix("") for path in sorted((PROJECT / package).rglob("*.py"))]
    names = [".".join(path.parts) for path in paths if path.name not in ("__init__", "__main__")]
    # Triton runs it, in an environment of its own.
    return [name for name in names if name != "nextclick.stack.onnxruntime_backend.model"]


def test_no_module_of_ours_changes_it() -> None:
    modules = [name for package in PACKAGES for name in modules_of(package)]
    assert len(modules) > 200
    assert chosen_after(EVERY_MODULE, *modules) == "upb MutexValue"


def test_nvtabular_does_not_change_it() -> None:
    assert chosen_after(NVTABULAR) == "upb MutexValue"


def test_feast_does_not_change_it(tmp_path: object) -> None:
    assert chosen_after(FEAST, str(tmp_path)) == "upb MutexValue"


def test_libraries_that_change_it_are_imported_where_that_is_undone() -> None:
    modules = [path for package in PACKAGES for path in (PROJECT / package).rglob("*.py")]
    importing = {path for path in modules if CHANGING.search(path.read_text())}
    assert importing
    assert {path.name for path in importing if "environment_kept()" not in path.read_text()} == set()
