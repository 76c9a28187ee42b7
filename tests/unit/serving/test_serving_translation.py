"""A request is judged field by field, and an answer arrives on the wire as it was decided."""

import uuid

import pytest

from feature_repo.schema import DEFAULT_PAGE_SIZE, MAX_ID_LENGTH, MAX_PAGE_SIZE, MAX_SESSION_LENGTH, Event, EventType
from feature_repo.session import fold
from serving.errors import InvalidRequestError
from serving.proto import recommender_pb2 as pb
from serving.recommendation import DegradedReason, Recommendation
from serving.rpc.translation import MAX_EXCLUDED_ITEMS, parse_request, to_message


def recent_event(**changes: object) -> pb.RecentEvent:
    fields: dict[str, object] = {"event_id": "e1", "event_type": "view", "item_id": "i1", "timestamp_ms": 1_000}
    return pb.RecentEvent(**(fields | changes))  # type: ignore[arg-type]


def request(**changes: object) -> pb.RecommendRequest:
    return pb.RecommendRequest(**({"session_id": "s1"} | changes))  # type: ignore[arg-type]


def test_a_bare_session_id_gets_the_defaults() -> None:
    parsed = parse_request(request())
    assert (parsed.session_id, parsed.page_size, parsed.exclude_seen) == ("s1", DEFAULT_PAGE_SIZE, True)
    assert (parsed.recent_events, parsed.exclude_item_ids) == ((), frozenset())


def test_exclude_seen_can_be_switched_off() -> None:
    assert parse_request(request(exclude_seen=False)).exclude_seen is False


def test_recent_events_become_events_of_the_session_and_the_user() -> None:
    parsed = parse_request(request(user_id="u1", recent_events=[recent_event(event_type="purchase")]))
    assert parsed.recent_events == (Event("e1", EventType.PURCHASE, "s1", "i1", 1_000, "u1"),)


def test_limits_themselves_are_allowed() -> None:
    parsed = parse_request(
        request(
            session_id="s" * MAX_ID_LENGTH,
            page_size=MAX_PAGE_SIZE,
            recent_events=[recent_event(event_id=str(number)) for number in range(MAX_SESSION_LENGTH)],
            exclude_item_ids=[str(number) for number in range(MAX_EXCLUDED_ITEMS)],
        )
    )
    assert parsed.page_size == MAX_PAGE_SIZE
    assert len(parsed.recent_events) == MAX_SESSION_LENGTH
    assert len(parsed.exclude_item_ids) == MAX_EXCLUDED_ITEMS


@pytest.mark.parametrize(
    ("message", "text"),
    [
        (pb.RecommendRequest(), "session_id: is required"),
        (request(session_id="s" * 257), "session_id: must have at most 256 characters, got 257"),
        (request(user_id="u" * 257), "user_id: must have at most 256 characters, got 257"),
        (request(page_size=500), "page_size: must be between 1 and 100, got 500"),
        (request(page_size=-1), "page_size: must be between 1 and 100, got -1"),
        (request(recent_events=[recent_event()] * 51), "recent_events: must have at most 50 entries, got 51"),
        (request(recent_events=[recent_event(event_id="")]), "recent_events[0].event_id: is required"),
        (request(recent_events=[recent_event(), recent_event(item_id="")]), "recent_events[1].item_id: is required"),
        (
            request(recent_events=[recent_event(timestamp_ms=0)]),
            "recent_events[0].timestamp_ms: must be above 0, in milliseconds since 1970, got 0",
        ),
        (request(exclude_item_ids=["a", ""]), "exclude_item_ids[1]: is required"),
        (request(exclude_item_ids=["a"] * 1_001), "exclude_item_ids: must have at most 1000 entries, got 1001"),
    ],
)
def test_a_wrong_field_is_named(message: pb.RecommendRequest, text: str) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        parse_request(message)
    assert str(caught.value) == text


def test_an_unknown_event_type_is_answered_with_the_known_ones() -> None:
    with pytest.raises(InvalidRequestError, match=r"^recent_events\[0\]\.event_type: must be one of view,.*'stare'"):
        parse_request(request(recent_events=[recent_event(event_type="stare")]))


def test_an_answer_carries_positions_the_model_and_the_newest_event() -> None:
    session = fold(None, [Event("e2", EventType.VIEW, "s1", "b", 2_000), Event("e1", EventType.VIEW, "s1", "a", 1_000)])
    items, visit = [("x", 0.5), ("y", 0.25)], session.events[1:]
    message = to_message(Recommendation(items, "session_recommender", "7", session, visit=visit))
    assert [(item.item_id, item.score, item.position) for item in message.items] == [("x", 0.5, 1), ("y", 0.25, 2)]
    assert (message.model_name, message.model_version) == ("session_recommender", "7")
    assert (message.session_length, message.last_event_id, message.last_event_timestamp_ms) == (1, "e2", 2_000)
    assert message.degraded_reason == pb.DEGRADED_REASON_UNSPECIFIED
    assert uuid.UUID(message.recommendation_id).version == 4


def test_the_newest_event_is_told_even_when_nothing_is_left_of_its_visit() -> None:
    session = fold(None, [Event("e1", EventType.REMOVE_FROM_CART, "s1", "a", 1_000)])
    message = to_message(Recommendation([], "popular_items", "", session, DegradedReason.SESSION_MISSING))
    assert (message.session_length, message.last_event_id, message.last_event_timestamp_ms) == (0, "e1", 1_000)


def test_every_reason_of_ours_is_one_of_the_wire_and_the_other_way_round() -> None:
    on_the_wire = {to_message(Recommendation([], "", "", None, reason)).degraded_reason for reason in DegradedReason}
    assert on_the_wire == set(pb.DegradedReason.values()) - {pb.DEGRADED_REASON_UNSPECIFIED}
