"""Log lines on standard error, as text or as JSON: the same for consumer, archive, gateway and the other verbs."""

import json
import logging
import sys
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, Literal

import orjson
from pydantic_settings import BaseSettings, SettingsConfigDict

from runtime.printable import printable, printable_lines

OURS = ("nextclick", "runtime", "feature_repo", "streaming", "training", "serving")

_TEXT = "%(asctime)s %(levelname)s %(name)s: %(message)s"
_USUAL_FIELDS = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}

log = logging.getLogger(__name__)


class LogSettings(BaseSettings):
    """How logs look, from LOG_FORMAT and LOG_LEVEL."""

    model_config = SettingsConfigDict(frozen=True, extra="ignore", env_ignore_empty=True, hide_input_in_errors=True)

    log_format: Literal["text", "json"] = "text"
    """`json` writes one object a line: time, level, logger, message, and often `place`, `topic[partition]@offset`."""
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] | None = None
    """Of our own lines; by default INFO from what runs until it is stopped, else WARNING."""


def set_up_logs(settings: LogSettings, *, runs_long: bool = True, verbose: bool = False) -> None:
    """Once a process, before anything is logged. `verbose` is DEBUG, whatever LOG_LEVEL says."""
    usual = settings.log_level or ("INFO" if runs_long else "WARNING")
    handler = logging.StreamHandler()
    handler.setFormatter(JsonFormatter() if settings.log_format == "json" else TextFormatter(_TEXT))
    level = logging.DEBUG if verbose else logging.getLevelNamesMapping()[usual]
    logging.basicConfig(handlers=[handler], level=max(level, logging.WARNING))
    for name in OURS:
        logging.getLogger(name).setLevel(level)
    _quieten_kafka(verbose)
    if settings.log_format == "json":
        logging.captureWarnings(True)
        sys.excepthook = _log_uncaught


def log_as_json(error: BaseException) -> bool:
    """Whether logs are JSON; then this error, which ends the process, has become a line of them."""
    if sys.excepthook is not _log_uncaught:
        return False
    _log_uncaught(type(error), error, error.__traceback__)
    return True


class JsonFormatter(logging.Formatter):
    """One object a line, of what every record has and of what was given as `extra`."""

    def format(self, record: logging.LogRecord) -> str:
        """The line without its end."""
        fields: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
        }
        fields |= {name: value for name, value in vars(record).items() if name not in _USUAL_FIELDS}
        if record.exc_info:
            fields["exception"] = self.formatException(record.exc_info)
        line = orjson.dumps(fields, default=str, option=orjson.OPT_NON_STR_KEYS).decode()
        return line if line.isprintable() else "".join(map(_json_character, line))


class TextFormatter(logging.Formatter):
    """A line a record, and a traceback below it; data in them is shown, and never acted on by a terminal."""

    def formatMessage(self, record: logging.LogRecord) -> str:
        """The line; a message of several lines is one."""
        return printable(super().formatMessage(record))

    def formatException(self, ei: Any) -> str:
        """The traceback, on its lines."""
        return printable_lines(super().formatException(ei))


def _json_character(character: str) -> str:
    """What JSON leaves as it is and a terminal would act on, as JSON can write it too."""
    return character if character.isprintable() else json.dumps(character)[1:-1]


def _quieten_kafka(verbose: bool) -> None:
    """It logs a dozen lines a second while brokers are away, and asks again by itself.

    What it cannot get over it raises; and what runs long says itself, once, that Kafka is away.
    """
    if not verbose:
        logging.getLogger("kafka").setLevel(logging.CRITICAL)
    # Its event loop reports every task above 0.1 s, which a busy machine has many of.
    logging.getLogger("kafka.net.selector").setLevel(logging.WARNING if verbose else logging.ERROR)


def _log_uncaught(kind: type[BaseException], error: BaseException, traceback: TracebackType | None) -> None:
    if issubclass(kind, KeyboardInterrupt):
        sys.__excepthook__(kind, error, traceback)
    else:
        log.critical("ended by an error", exc_info=(kind, error, traceback))
