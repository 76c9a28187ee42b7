"""Of the lines that strangers cause, one in a while is written, and the next one says how many were not."""

import logging

import pytest

from runtime.limited_log import LimitedLog


def test_lines_in_the_same_while_are_counted_instead_of_written(caplog: pytest.LogCaptureFixture) -> None:
    now = [0.0]
    log = LimitedLog(logging.getLogger("test"), seconds=1.0, clock=lambda: now[0])
    for number, at in enumerate((0.0, 0.1, 0.9, 1.0, 2.5)):
        now[0] = at
        log.warning("call %d", number)
    written = [record.getMessage() for record in caplog.records]
    assert written == ["call 0", "call 3 (2 such lines before it were left out)", "call 4"]
