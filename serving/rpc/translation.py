"""Between the wire and the gateway's own words; the only place where a request is judged."""

import uuid

from feature_repo.errors import FieldError
from feature_repo.fields import check_clock, check_event_type, check_id, check_optional_id, check_time, now_ms
from feature_repo.schema import DEFAULT_PAGE_SIZE, MAX_PAGE_SIZE, MAX_SESSION_LENGTH, Event
from serving.errors import InvalidRequestError
from serving.proto import recommender_pb2 as pb
from serving.recommendation import Recommendation, RecommendationRequest
from serving.rpc.degraded_reasons import WIRE_REASONS

MAX_EXCLUDED_ITEMS = 1_000


def parse_request(message: pb.RecommendRequest) -> RecommendationRequest:
    """The request with its defaults filled in. Raises InvalidRequestError naming the first field that is wrong."""
    try:
        check_id("session_id", message.session_id)
        user_id = check_optional_id("user_id", message.user_id)
    except FieldError as error:
        raise _refused("", error) from error
    return RecommendationRequest(
        session_id=message.session_id,
        recent_events=_parse_recent_events(message, user_id),
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


def _parse_recent_events(message: pb.RecommendRequest, user_id: str | None) -> tuple[Event, ...]:
    if not message.recent_events:
        return ()
    _check_count("recent_events", len(message.recent_events), MAX_SESSION_LENGTH)
    clock_ms = now_ms()
    events: list[Event] = []
    try:
        for event in message.recent_events:
            events.append(_parse_event(event, message.session_id, user_id, clock_ms))
    except FieldError as error:
        raise _refused(f"recent_events[{len(events)}].", error) from error
    return tuple(events)


def _parse_event(event: pb.RecentEvent, session_id: str, user_id: str | None, clock_ms: int) -> Event:
    timestamp_ms = check_time("timestamp_ms", event.timestamp_ms, clock_ms)
    check_clock("timestamp_ms", timestamp_ms, clock_ms)
    return Event(
        check_id("event_id", event.event_id),
        check_event_type("event_type", event.event_type),
        session_id,
        check_id("item_id", event.item_id),
        timestamp_ms,
        user_id,
    )


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
        try:
            check_id(f"[{place}]", item_id)
        except FieldError as error:
            raise _refused("exclude_item_ids", error) from error
    return frozenset(message.exclude_item_ids)


def _refused(place: str, error: FieldError) -> InvalidRequestError:
    return InvalidRequestError(f"{place}{error.field}", f"expected {error.expected}")


def _check_count(field: str, count: int, limit: int) -> None:
    if count > limit:
        raise InvalidRequestError(field, f"must have at most {limit} entries, got {count}")
