"""Between the wire and the gateway's own words; the only place where a request is judged."""

import uuid

from feature_repo.schema import (
    DEFAULT_PAGE_SIZE,
    MAX_ID_LENGTH,
    MAX_PAGE_SIZE,
    MAX_SESSION_LENGTH,
    Event,
    EventType,
)
from serving.errors import InvalidRequestError
from serving.proto import recommender_pb2 as pb
from serving.recommendation import Recommendation, RecommendationRequest
from serving.rpc.degraded_reasons import WIRE_REASONS

MAX_EXCLUDED_ITEMS = 1_000

_EVENT_TYPES = {event_type.value: event_type for event_type in EventType}


def parse_request(message: pb.RecommendRequest) -> RecommendationRequest:
    """The request with its defaults filled in. Raises InvalidRequestError naming the first field that is wrong."""
    _check_id("session_id", message.session_id)
    _check_length("user_id", message.user_id)
    return RecommendationRequest(
        session_id=message.session_id,
        recent_events=_parse_recent_events(message),
        page_size=_parse_page_size(message.page_size),
        exclude_seen=message.exclude_seen if message.HasField("exclude_seen") else True,
        exclude_item_ids=_parse_excluded(message),
    )


def to_message(recommendation: Recommendation) -> pb.RecommendResponse:
    """The answer on the wire, under a new id."""
    response = pb.RecommendResponse(
        recommendation_id=str(uuid.uuid4()),
        model_name=recommendation.model_name,
        model_version=recommendation.model_version,
    )
    add_item = response.items.add
    for position, (item_id, score) in enumerate(recommendation.items, start=1):
        add_item(item_id=item_id, score=score, position=position)
    if recommendation.degraded_reason:
        response.degraded_reason = WIRE_REASONS[recommendation.degraded_reason]
    response.session_length = len(recommendation.visit)
    if recommendation.session and recommendation.session.events:
        newest = recommendation.session.events[-1]
        response.last_event_timestamp_ms = newest.timestamp_ms
        response.last_event_id = newest.event_id
    return response


def _parse_recent_events(message: pb.RecommendRequest) -> tuple[Event, ...]:
    if not message.recent_events:
        return ()
    _check_count("recent_events", len(message.recent_events), MAX_SESSION_LENGTH)
    user_id = message.user_id or None
    return tuple(
        _parse_event(f"recent_events[{place}]", event, message.session_id, user_id)
        for place, event in enumerate(message.recent_events)
    )


def _parse_event(field: str, event: pb.RecentEvent, session_id: str, user_id: str | None) -> Event:
    _check_id(f"{field}.event_id", event.event_id)
    _check_id(f"{field}.item_id", event.item_id)
    event_type = _EVENT_TYPES.get(event.event_type)
    if event_type is None:
        raise InvalidRequestError(
            f"{field}.event_type", f"must be one of {', '.join(_EVENT_TYPES)}, got {_shown(event.event_type)}"
        )
    if event.timestamp_ms <= 0:
        raise InvalidRequestError(
            f"{field}.timestamp_ms", f"must be above 0, in milliseconds since 1970, got {event.timestamp_ms}"
        )
    return Event(event.event_id, event_type, session_id, event.item_id, event.timestamp_ms, user_id)


def _parse_page_size(page_size: int) -> int:
    if page_size == 0:
        return DEFAULT_PAGE_SIZE
    if not 1 <= page_size <= MAX_PAGE_SIZE:
        raise InvalidRequestError("page_size", f"must be between 1 and {MAX_PAGE_SIZE}, got {page_size}")
    return page_size


def _parse_excluded(message: pb.RecommendRequest) -> frozenset[str]:
    if not message.exclude_item_ids:
        return frozenset()
    _check_count("exclude_item_ids", len(message.exclude_item_ids), MAX_EXCLUDED_ITEMS)
    for place, item_id in enumerate(message.exclude_item_ids):
        _check_id(f"exclude_item_ids[{place}]", item_id)
    return frozenset(message.exclude_item_ids)


def _check_id(field: str, value: str) -> None:
    if not value:
        raise InvalidRequestError(field, "is required")
    _check_length(field, value)


def _check_length(field: str, value: str) -> None:
    if len(value) > MAX_ID_LENGTH:
        raise InvalidRequestError(field, f"must have at most {MAX_ID_LENGTH} characters, got {len(value)}")


def _check_count(field: str, count: int, limit: int) -> None:
    if count > limit:
        raise InvalidRequestError(field, f"must have at most {limit} entries, got {count}")


def _shown(value: str) -> str:
    return repr(value if len(value) <= 50 else value[:50] + "…")
