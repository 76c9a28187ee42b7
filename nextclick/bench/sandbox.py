"""Where a run measures: topics, groups, a Redis database and a home of its own on servers that others may use too."""

import logging
import os
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from types import TracebackType
from typing import Any, Self

from feature_repo.feature_store import apply
from feature_repo.settings import registry_in
from nextclick.bench.errors import BenchError
from nextclick.bench.kafka_names import KafkaNames
from nextclick.bench.redis_database import RedisDatabase, claim_database
from nextclick.interrupts import uninterrupted
from nextclick.stack.ports import HOST
from streaming.settings import StreamingSettings

log = logging.getLogger(__name__)

SESSIONS_ONLY = {"FOLD_USER_HISTORY": "false", "FOLD_POPULAR_ITEMS": "false"}
ALL_VIEWS = {"FOLD_USER_HISTORY": "true", "FOLD_POPULAR_ITEMS": "true"}


class Sandbox:
    """Leaves nothing behind, also after an error or Ctrl-C. Only a server that is away keeps what it has.

    Raises BenchError if there is no empty Redis database, KafkaUnavailableError if Kafka does not answer.
    """

    def __init__(self, settings: StreamingSettings) -> None:
        self._settings = settings
        self._cleaning = ExitStack()

    def __enter__(self) -> Self:
        with ExitStack() as on_failure:
            self.folder = Path(on_failure.enter_context(TemporaryDirectory(prefix="nextclick-bench-")))
            self.database: RedisDatabase = claim_database(self._settings)
            on_failure.callback(self.database.release)
            self.kafka = KafkaNames(self._settings)
            on_failure.callback(self.kafka.delete)
            self.dead_letters = self.kafka.topic("dlq", 1)
            self._erasures = self.kafka.topic_name("erasures")
            apply(StreamingSettings(**_as_fields(self._own_variables())))
            self._cleaning = on_failure.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with uninterrupted():
            self._cleaning.__exit__(kind, error, trace)

    def variables(self, topic: str, group: str, **more: str) -> dict[str, str]:
        """What makes a process read that topic and write this run's database."""
        return {**self._own_variables(), "EVENTS_TOPIC": topic, "CONSUMER_GROUP": group, **more}

    def settings(self, topic: str, **more: str) -> StreamingSettings:
        """The same for what runs in a process of ours, with a group of its own."""
        return StreamingSettings(**_as_fields(self.variables(topic, self.kafka.group(), **more)))

    def check_dead_letters(self) -> None:
        """Raise BenchError if any event was rejected: rejecting costs other work than what is measured."""
        if count := self.kafka.messages(self.dead_letters):
            raise BenchError(f"{count} events became dead letters, so the figures would be of something else")

    def _own_variables(self) -> dict[str, str]:
        return {
            "NEXTCLICK_HOME": str(self.folder),
            "REGISTRY_URL": registry_in(self.folder),
            "ARCHIVE_PATH": str(self.folder / "archive"),
            "REDIS_URL": self.database.url,
            "KAFKA_BOOTSTRAP_SERVERS": self._settings.kafka_bootstrap_servers,
            "DEAD_LETTER_TOPIC": self.dead_letters,
            "ERASURES_TOPIC": self._erasures,
            "CONSUMER_INSTANCE_ID": "",
            "METRICS_HOST": HOST,
            "METRICS_PORT": "0",
        }


def _as_fields(variables: dict[str, str]) -> dict[str, Any]:
    return {name.lower(): value for name, value in variables.items()}


def child_environment(variables: dict[str, str]) -> dict[str, str]:
    """This process's environment with these variables in it."""
    return {**os.environ, **variables}
