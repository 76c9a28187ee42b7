"""What a test of consumers needs, all of its own but the broker."""

from collections.abc import Callable
from pathlib import Path

from pydantic import SecretStr

from streaming.kafka.topics import ensure_topics
from streaming.settings import StreamingSettings
from tests.faults.feeding import Feeder
from tests.faults.stages import Progress, dump, stage, write_catalogue
from tests.support.own_servers import Server
from tests.support.plain_fold import assert_same, expected_store
from tests.support.planted_stream import Message
from tests.support.programs import Process
from tests.support.waiting import wait_until

MAX_POLL_MS = 3000


class Scene:
    """A Redis with the catalogue, a topic of a test's own, and a stream to send."""

    def __init__(self, settings: StreamingSettings, store: Server, messages: list[Message], tmp_path: Path) -> None:
        self.settings = settings
        self.store = store
        self.messages = messages
        self.topic_id = ensure_topics(settings)[settings.events_topic]
        self.feeder = Feeder(settings, messages)
        self.progress = Progress(settings, self.topic_id)
        self._tmp_path = tmp_path
        write_catalogue(settings)

    def consumer(self, name: str = "consumer", redis_url: str = "") -> Process:
        """One more consumer, to be entered. It may have another way to the Redis."""
        changes = {"redis_url": SecretStr(redis_url)} if redis_url else {}
        return stage("consumer", self.settings.model_copy(update=changes), self._tmp_path / f"{name}.log")

    def committed(self) -> list[int]:
        """Of the consumers' group."""
        return self.progress.committed(self.settings.consumer_group)

    def await_committed(self, *consumers: Process) -> None:
        """Until all that was sent is done."""
        self.feeder.flush()
        ends = self.progress.ends()
        wait_until(f"committed {ends}", lambda: self.committed() == ends, consumers)

    def check_store(self) -> None:
        """All that was sent stands there as a plain fold leaves it."""
        assert_same(dump(self.settings), expected_store(self.messages[: self.feeder.sent], self.topic_id))

    def close(self) -> None:
        """Give connections back."""
        self.feeder.close()
        self.progress.close()


SceneMaker = Callable[[list[Message]], Scene]
