"""docs/CLI.md is what the command line is today, on any terminal."""

import os
import subprocess
import sys

from nextclick.reference import PAGE, page
from tests.support.command_line import VERBS
from tests.support.project import PROJECT


def test_the_page_is_fresh_whatever_the_terminal() -> None:
    environment = {**os.environ, "COLUMNS": "37", "TERM": "xterm-256color", "FORCE_COLOR": "1", "LC_ALL": "C"}
    command = [sys.executable, "-m", "nextclick.reference", "--check"]
    done = subprocess.run(command, env=environment, cwd=PROJECT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert PAGE.read_text() == page()


def test_every_verb_and_option_is_on_it() -> None:
    text = page()
    for path, verb in VERBS.items():
        section = text.split(f"# `nextclick {' '.join(path)}`\n", 1)[1].split("\n#", 1)[0]
        for parameter in verb.params:
            if parameter.name != "help":
                assert (parameter.opts[0] if parameter.param_type_name == "option" else parameter.metavar) in section
