"""The first SIGTERM or SIGINT asks, the second one of either kind ends the process."""

import signal
import subprocess
import sys

import pytest

from tests.support.project import PROJECT

ASKED = """
import time
from runtime.signals import on_first_signal
on_first_signal(lambda: print("asked", flush=True))
print("waits", flush=True)
while True:
    time.sleep(60)
"""


@pytest.mark.parametrize("first", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("second", [signal.SIGINT, signal.SIGTERM])
def test_the_second_signal_ends_the_process(first: signal.Signals, second: signal.Signals) -> None:
    command = [sys.executable, "-c", ASKED]
    with subprocess.Popen(command, cwd=PROJECT, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as process:
        try:
            assert process.stdout
            assert process.stdout.readline() == "waits\n"
            process.send_signal(first)
            assert process.stdout.readline() == "asked\n"
            process.send_signal(second)
            output, _ = process.communicate(timeout=120)
            assert (process.returncode, output) == (-second, "")
        finally:
            process.kill()
