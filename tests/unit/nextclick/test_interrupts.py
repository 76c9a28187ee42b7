"""Ctrl-C ends a wait for Kafka, whenever it comes."""

import subprocess
import sys

import pytest

# A task that is interrupted in the middle, and one that waits for it, on a client's loop that the main thread drives.
PROGRAM = """
import os, signal, sys
from kafka.future import Future
from kafka.net.selector import NetworkSelector
from nextclick.interrupts import interrupt_when_safe, terminated_like_interrupted

number = signal.SIGINT
if sys.argv[1] == "guarded":
    interrupt_when_safe()
elif sys.argv[1] == "terminated":  # in the background, where SIGINT is ignored
    number = signal.SIGTERM
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    guard = terminated_like_interrupted()
    guard.__enter__()
answer = Future()
steps = []

async def ask():
    os.kill(os.getpid(), number)
    for _ in range(1000):
        pass
    steps.append("whole")
    await loop.sleep(60)
    answer.success(True)

async def wait():
    await answer

loop = NetworkSelector()
loop.call_soon(ask)
try:
    loop.run(wait)
except KeyboardInterrupt:
    print("interrupted", *steps)
"""


def _run(how: str, seconds: float) -> str:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, how], capture_output=True, text=True, timeout=seconds, start_new_session=True
    )
    return done.stdout.strip()


@pytest.mark.parametrize("how", ["guarded", "terminated"])
def test_an_interrupt_waits_for_the_task_and_ends_the_wait(how: str) -> None:
    assert _run(how, 30) == "interrupted whole"


def test_without_that_the_client_swallows_it() -> None:
    """Once this fails, kafka-python has been mended: `nextclick/interrupts.py` is not needed any more."""
    with pytest.raises(subprocess.TimeoutExpired):
        _run("unguarded", 5)
