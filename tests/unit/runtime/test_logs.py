"""Log lines as a process writes them, in both formats."""

import json
import os
import subprocess
import sys

import pytest
from pydantic import ValidationError

from runtime.logs import LogSettings

PROGRAM = """
import logging
from runtime.logs import LogSettings, set_up_logs
set_up_logs(LogSettings(), runs_long={runs_long}, verbose={verbose})
log = logging.getLogger("streaming.sessions.consumer")
log.debug("a batch")
log.info("%s is written", "x", extra={{"place": "events[3]@17"}})
try:
    {{}}["gone"]
except KeyError:
    log.exception("two\\nlines")
logging.getLogger("kafka.net").info("chatter")
logging.getLogger("kafka.net").warning("away")
logging.getLogger("kafka.coordinator.heartbeat").error("away")
"""


def lines_of(program: str, **environment: str) -> list[str]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("LOG_")}
    done = subprocess.run(
        [sys.executable, "-c", program],
        env=clean | environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert not done.stdout
    return done.stderr.splitlines()


def test_json_has_one_object_a_line_with_the_place_and_the_traceback() -> None:
    lines = lines_of(PROGRAM.format(runs_long=True, verbose=False), LOG_FORMAT="json")
    written, failed = (json.loads(line) for line in lines)
    assert written.pop("time").endswith("+00:00")
    assert written == {
        "level": "INFO",
        "logger": "streaming.sessions.consumer",
        "message": "x is written",
        "place": "events[3]@17",
    }
    assert failed["message"] == "two\nlines"
    assert failed["exception"].endswith("KeyError: 'gone'")


def test_an_error_that_ends_the_process_is_one_line_of_json_too() -> None:
    program = PROGRAM.format(runs_long=True, verbose=False) + "raise RuntimeError('the end')\n"
    last = json.loads(lines_of(program, LOG_FORMAT="json")[-1])
    assert (last["level"], last["exception"].splitlines()[-1]) == ("CRITICAL", "RuntimeError: the end")


def test_text_is_for_people() -> None:
    written, *_ = lines_of(PROGRAM.format(runs_long=True, verbose=False))
    assert written.endswith(" INFO streaming.sessions.consumer: x is written")


@pytest.mark.parametrize(
    ("runs_long", "verbose", "level", "expected"),
    [
        (True, False, "", ["INFO", "ERROR"]),
        (True, False, "ERROR", ["ERROR"]),
        (True, False, "DEBUG", ["DEBUG", "INFO", "ERROR"]),
        (False, False, "", ["ERROR"]),
        (True, True, "ERROR", ["DEBUG", "INFO", "ERROR", "WARNING", "ERROR"]),  # with what Kafka's client complains of
        (False, True, "", ["DEBUG", "INFO", "ERROR", "WARNING", "ERROR"]),
    ],
)
def test_levels(runs_long: bool, verbose: bool, level: str, expected: list[str]) -> None:
    program = PROGRAM.format(runs_long=runs_long, verbose=verbose)
    lines = lines_of(program, LOG_FORMAT="json", LOG_LEVEL=level)
    assert [json.loads(line)["level"] for line in lines] == expected


def test_an_unknown_format_is_refused() -> None:
    with pytest.raises(ValidationError, match="log_format"):
        LogSettings(log_format="xml")
