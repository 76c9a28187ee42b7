"""Signals at bad moments: what is made is finished first, and undone."""

import os
import signal

import pytest

from nextclick.interrupts import interrupted_after, terminated_like_interrupted, uninterrupted


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupt_waits_for_the_end_and_undoes(number: signal.Signals) -> None:
    done: list[str] = []

    def make() -> None:
        with interrupted_after(lambda: done.append("undone")):
            os.kill(os.getpid(), number)
            done.append("made")

    with pytest.raises(KeyboardInterrupt):
        make()
    assert done == ["made", "undone"]


def test_without_an_interrupt_nothing_is_undone() -> None:
    done: list[str] = []
    with interrupted_after(lambda: done.append("undone")):
        done.append("made")
    assert done == ["made"]


def test_uninterrupted_goes_on() -> None:
    before = signal.getsignal(signal.SIGINT)
    with uninterrupted():
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGTERM)
    assert signal.getsignal(signal.SIGINT) is before


def test_sigterm_unwinds() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(KeyboardInterrupt), terminated_like_interrupted():
        os.kill(os.getpid(), signal.SIGTERM)
    assert signal.getsignal(signal.SIGTERM) is before
