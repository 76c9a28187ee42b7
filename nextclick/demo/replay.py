"""Replays sessions event by event through Kafka and asks the gateway after each, as an app would."""

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import grpc
from kafka import KafkaProducer

from feature_repo.online.store import OnlineStoreReader
from feature_repo.schema import EVENTS_TOPIC, Event
from runtime.errors import NextclickError
from serving.background import raise_if_cancelled
from serving.proto import recommender_pb2, recommender_pb2_grpc
from serving.rpc.degraded_reasons import reason_name
from streaming.events.parser import event_to_json

PAGE_SIZE = 10
VISIBLE_WITHIN_S = 10.0
POLL_S = 0.001
CALL_TIMEOUT_S = 5.0


@dataclass(frozen=True, slots=True)
class Answer:
    """One call of the gateway, and what happened next in the real session."""

    history: tuple[str, ...]
    """Item ids so far, oldest first."""
    next_item: str | None
    """The item of the event after; None after a session's last."""
    ranked: tuple[str, ...]
    """Item ids of the answer, best first; empty if the call failed."""
    call_ms: float
    """From the call to its answer."""
    fresh_ms: float | None
    """From sending the event to an answer that has seen it; None if the answer had not."""
    degraded_reason: str
    """Empty when the model answered."""
    error: str
    """Status of a failed call, else empty."""


class Replay:
    """Holds the three connections: events go in by Kafka, are watched in the store, and answered by the gateway."""

    def __init__(
        self,
        producer: KafkaProducer,
        reader: OnlineStoreReader,
        stub: recommender_pb2_grpc.RecommenderStub,
        exclude_seen: bool,
    ) -> None:
        self._producer = producer
        self._reader = reader
        self._stub = stub
        self._exclude_seen = exclude_seen

    async def run(self, sessions: Sequence[Sequence[Event]], advance: Callable[[], None]) -> list[Answer]:
        """Answers in the order of the events. `advance` is called after each.

        Raises NextclickError when an event does not reach the store in time.
        """
        answers = []
        for session in sessions:
            for position in range(len(session)):
                answers.append(await self._step(session, position))
                raise_if_cancelled()
                advance()
        return answers

    async def _step(self, session: Sequence[Event], position: int) -> Answer:
        event = session[position]
        sent = time.perf_counter()
        self._producer.send(EVENTS_TOPIC, key=event.session_id.encode(), value=event_to_json(event))
        await self._wait_until_stored(event)
        called = time.perf_counter()
        response, error = await self._recommend(event)
        answered = time.perf_counter()
        saw_event = response.last_event_id == event.event_id
        return Answer(
            history=tuple(past.item_id for past in session[: position + 1]),
            next_item=session[position + 1].item_id if position + 1 < len(session) else None,
            ranked=tuple(item.item_id for item in response.items),
            call_ms=(answered - called) * 1e3,
            fresh_ms=(answered - sent) * 1e3 if saw_event else None,
            degraded_reason=reason_name(response.degraded_reason),
            error=error,
        )

    async def _wait_until_stored(self, event: Event) -> None:
        give_up = time.perf_counter() + VISIBLE_WITHIN_S
        while time.perf_counter() < give_up:
            stored = await self._reader.read_session(event.session_id)
            if stored.session and any(seen.event_id == event.event_id for seen in reversed(stored.session.events)):
                return
            await asyncio.sleep(POLL_S)
            raise_if_cancelled()
        raise NextclickError(
            f"event {event.event_id} was not in the online store {VISIBLE_WITHIN_S:.0f} s after it was sent: "
            "look into the log of `stream` that `nextclick status` names"
        )

    async def _recommend(self, event: Event) -> tuple[recommender_pb2.RecommendResponse, str]:
        request = recommender_pb2.RecommendRequest(
            session_id=event.session_id,
            user_id=event.user_id or "",
            page_size=PAGE_SIZE,
            exclude_seen=self._exclude_seen,
        )
        try:
            return await self._stub.Recommend(request, timeout=CALL_TIMEOUT_S), ""
        except grpc.aio.AioRpcError as error:
            return recommender_pb2.RecommendResponse(), error.code().name
