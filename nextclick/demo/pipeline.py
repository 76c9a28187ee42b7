"""The demo from end to end, one method a step, in the order of the data's way through the platform."""

import asyncio
import os
import shutil
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from feature_repo.fields import now_ms
from feature_repo.schema import EVENTS_TOPIC, Event
from nextclick.demo.split import Split, label, split_newest
from nextclick.progress import Steps
from nextclick.stack.addresses import KAFKA, REDIS, TRITON, apply_to_environment
from nextclick.stack.client import SupervisorClient
from nextclick.stack.settings import StackSettings

if TYPE_CHECKING:
    from nextclick.datasets.dataset import Dataset
    from nextclick.demo.replay import Answer
    from streaming.settings import StreamingSettings
    from training.train import EpochReport, TrainingResult

READERS = ("catalogue", "stream", "archive")
APPLICATIONS = (*READERS, "serve")
"""Verbs that the demo leaves running."""

NEWEST_EVENT_AGE_MS = 60_000
"""The data is moved in time so that its newest event is this old when the replay is prepared."""


@dataclass(frozen=True, slots=True)
class Options:
    """What the demo can be asked for."""

    dataset: str
    path: Path | None
    limit: int | None
    replay_events: int
    recipe: str


class Demo:
    """One run on a stack that is up. Its ids are its own, so that runs on the same stack do not meet."""

    def __init__(self, options: Options, run: str, client: SupervisorClient, steps: Steps) -> None:
        self.options = options
        self.run = run
        self.client = client
        self.steps = steps

    def execute(self) -> dict[str, Any]:
        """Run every step; the numbers of the result, ready for JSON."""
        dataset = self.read()
        split = self.split(dataset)
        self.stream(split.history, dataset)
        training = self.train()
        version = self.export(training)
        gateway = self.serve()
        answers = self.replay(split.replayed, gateway, exclude_seen=not dataset.repeats)
        return self.measure(answers, dataset, split, training, version, gateway)

    # --- data -------------------------------------------------------------------------------------------------

    def read(self) -> "Dataset":
        """The data set as events and items."""
        from nextclick.datasets.formats import load

        self.steps.begin(f"read {self.options.dataset}")
        return load(self.options.dataset, self.options.path, self.options.limit, self.steps.note)

    def split(self, dataset: "Dataset") -> Split:
        """Older events to learn from, newest sessions to replay, all moved to end about now."""
        from nextclick.datasets.dataset import shift_to_now

        events = shift_to_now(dataset.events, now_ms() - NEWEST_EVENT_AGE_MS)
        return split_newest((label(event, self.run) for event in events), self.options.replay_events)

    # --- streaming --------------------------------------------------------------------------------------------

    def stream(self, history: Sequence[Event], dataset: "Dataset") -> None:
        """Catalogue and events through Kafka into online store and archive; the catalogue also into a file."""
        from nextclick.demo.groups import ConsumerGroups
        from nextclick.demo.services import start_application
        from streaming.kafka.admin import open_admin
        from streaming.kafka.topics import ensure_items_topic, ensure_topics
        from streaming.settings import StreamingSettings

        settings = StreamingSettings()
        self.steps.begin(f"stream a catalogue of {dataset.item_count} items", dataset.item_count)
        ensure_topics(settings)
        ensure_items_topic(settings)
        with open_admin(settings) as admin:
            of_items = ConsumerGroups(admin, settings.items_topic, [settings.catalogue_group])
            of_events = ConsumerGroups(admin, EVENTS_TOPIC, [settings.consumer_group, settings.archive_group])
            of_items.begin_at_end()
            of_events.begin_at_end()
            for verb in READERS:
                self.steps.note(f"starting nextclick {verb}")
                start_application(self.client, verb)
            self._send_catalogue(settings, dataset)
            # The popular items of a category are counted by what the store knows of an item when its event comes.
            of_items.wait_until_consumed(dataset.item_count, self._advance_while_alive)

            self.steps.begin(f"stream {len(history)} events through Kafka", len(history))
            self._produce(history)
            of_events.wait_until_consumed(len(history), self._advance_while_alive)

    def _send_catalogue(self, settings: "StreamingSettings", dataset: "Dataset") -> None:
        from feature_repo.catalogue.files import write_items
        from streaming.catalogue.topic import send_items

        write_items(settings.items_path, dataset.items)
        send_items(settings, ((item.item_id, item) for item in dataset.items), dataset.item_count)

    def _produce(self, history: Sequence[Event]) -> None:
        from streaming.events.parser import event_to_json
        from streaming.kafka.failures import kafka_errors
        from streaming.settings import StreamingSettings

        settings = StreamingSettings()
        with kafka_errors(settings), closing(_producer()) as producer:
            for event in history:
                # A message as old as its event: consumers refuse events that come long after they happened.
                key, value = event.session_id.encode(), event_to_json(event)
                producer.send(EVENTS_TOPIC, key=key, value=value, timestamp_ms=event.timestamp_ms)
            producer.flush()

    def _advance_while_alive(self, completed: int) -> None:
        from nextclick.demo.services import check_alive

        self.steps.advance(completed)
        for verb in READERS:
            check_alive(self.client, verb)

    # --- training ---------------------------------------------------------------------------------------------

    def train(self) -> "TrainingResult":
        """Fit the workflow and the transformer on what the archive writer has written."""
        from training.config import recipe
        from training.settings import TrainingSettings
        from training.train import train

        config = recipe(self.options.recipe)
        self.steps.begin("train the session transformer", config.max_epochs)
        self.steps.note("fitting the NVTabular workflow")
        return train(config, TrainingSettings(), progress=self._show_epoch)

    def _show_epoch(self, report: "EpochReport") -> None:
        self.steps.advance(report.epoch)
        self.steps.note(f"loss {report.loss:.2f}, validation NDCG@10 {report.validation.ndcg_at_10:.3f}")

    def export(self, training: "TrainingResult") -> str:
        """Write the ensemble's next version and serve it; the version."""
        from nextclick.publishing import publish

        self.steps.begin("export to Triton")
        return publish(training.run.name, self.steps.note)

    # --- serving ----------------------------------------------------------------------------------------------

    def serve(self) -> str:
        """Start the gateway; its address."""
        from nextclick.demo.services import start_gateway

        self.steps.begin("start the gateway")
        return start_gateway(self.client)

    def replay(self, sessions: Sequence[Sequence[Event]], gateway: str, exclude_seen: bool) -> list["Answer"]:
        """Send the newest sessions event by event and ask the gateway after each."""
        total = sum(len(session) for session in sessions)
        self.steps.begin(f"replay {len(sessions)} sessions live", total)
        done = 0

        def advance() -> None:
            nonlocal done
            done += 1
            self.steps.advance(done)

        return asyncio.run(_replay(sessions, gateway, exclude_seen, advance))

    def measure(
        self,
        answers: list["Answer"],
        dataset: "Dataset",
        split: Split,
        training: "TrainingResult",
        version: str,
        gateway: str,
    ) -> dict[str, Any]:
        """Score the answers beside the baselines, which learn from the events the model learnt from."""
        from nextclick.demo.score import compare, operations
        from training.evaluation.baselines import CoVisitation, Popularity, Recommender

        self.steps.begin("measure")
        exclude_seen = not dataset.repeats
        past = _item_lists(split.history)
        baselines: dict[str, Recommender] = {
            "co-visitation of the last item": CoVisitation.fit(past),
            "popularity": Popularity.fit(past),
        }
        accuracy = compare(answers, baselines, exclude_seen)
        return {
            "dataset": {"name": dataset.name, "events": len(split.history), "items": dataset.item_count},
            "licence": dataset.licence,
            "replayed_sessions": len(split.replayed),
            "predictions": sum(answer.next_item is not None for answer in answers),
            "seen_items_excluded": exclude_seen,
            "accuracy": {name: asdict(scores) for name, scores in accuracy.items()},
            "training": {"run": training.run.name, "epochs": training.epochs, "seconds": round(training.seconds, 1)},
            "model_version": version,
            "gateway": gateway,
            "example_session": split.replayed[-1][0].session_id,
            **operations(answers),
        }


def run_demo(options: Options, steps: Steps) -> dict[str, Any]:
    """Bring the stack up, run the demo on it and leave everything running when it went well.

    Whatever was started ends with this process if it fails or is interrupted. Raises NextclickError.
    """
    from nextclick.stack.definitions import definitions_applied
    from nextclick.stack.lifecycle import up

    steps.begin("start Kafka, Redis, Triton")
    run = _isolate(StackSettings().nextclick_home)
    with definitions_applied():
        stack = up(progress=lambda part, doing: steps.note(f"{part}: {doing}"))
        steps.note("applying Feast definitions")
    with stack, SupervisorClient(apply_to_environment(require=(KAFKA, REDIS, TRITON)).home) as client:
        result = Demo(options, run, client, steps).execute()
        client.keep(APPLICATIONS)
        stack.keep()
    return result


def _isolate(home: Path) -> str:
    """Name this run, and give it groups, archive, catalogue and runs of its own; child processes inherit them."""
    run = f"demo{datetime.now(UTC):%m%d%H%M%S}"
    folder = home / "demo"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    os.environ.update(
        CATALOGUE_GROUP=f"{run}-catalogue",
        CONSUMER_GROUP=f"{run}-streaming",
        ARCHIVE_GROUP=f"{run}-archive",
        ARCHIVE_PATH=str(folder / "archive"),
        ARCHIVE_FLUSH_SECONDS="1",
        ITEMS_PATH=str(folder / "items.parquet"),
        RUNS_PATH=str(folder / "runs"),
    )
    return run


def _producer() -> Any:
    from kafka import KafkaProducer

    from streaming.kafka.failures import open_client
    from streaming.settings import StreamingSettings

    return open_client(StreamingSettings(), KafkaProducer, acks="all", linger_ms=0)


async def _replay(
    sessions: Sequence[Sequence[Event]], gateway: str, exclude_seen: bool, advance: Callable[[], None]
) -> list["Answer"]:
    import grpc

    from feature_repo.online.store import OnlineStoreReader
    from feature_repo.settings import SharedSettings
    from nextclick.demo.replay import Replay
    from serving.proto.recommender_pb2_grpc import RecommenderStub

    producer, reader = _producer(), OnlineStoreReader(SharedSettings())
    try:
        async with grpc.aio.insecure_channel(gateway) as channel:
            return await Replay(producer, reader, RecommenderStub(channel), exclude_seen).run(sessions, advance)
    finally:
        await reader.close()
        producer.close()


def _item_lists(history: Sequence[Event]) -> list[list[str]]:
    sessions: dict[str, list[str]] = {}
    for event in history:
        sessions.setdefault(event.session_id, []).append(event.item_id)
    return list(sessions.values())
