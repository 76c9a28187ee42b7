"""A request is judged field by field, and an answer arrives on the wire as it was decided."""

import uuid

import pytest

from feature_repo.schema import DEFAULT_PAGE_SIZE, MAX_ID_LENGTH, MAX_PAGE_SIZE, MAX_SESSION_LENGTH, Event, EventType
from feature_repo.session import fold
from serving.errors import InvalidRequestError
from serving.proto import recommender_pb2 as pb
from serving.recommendation import DegradedReason, Recommendation
from serving.rpc import translation
from serving.rpc.translation import MAX_EXCLUDED_ITEMS, parse_request, to_message

NOW_MS = 1_800_000_000_000
DAY_MS = 86_400_000
ID = "expected a string of 1 to 256 characters without control characters"


@pytest.fixture(autouse=True)
def _clock(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(translation, "now_ms", lambda: NOW_MS)


def recent_event(**changes: object) -> pb.RecentEvent:
    fields: dict[str, object] = {"event_id": "e1", "event_type": "view", "item_id": "i1", "timestamp_ms": NOW_MS}
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
    assert parsed.recent_events == (Event("e1", EventType.PURCHASE, "s1", "i1", NOW_MS, "u1"),)


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
        (pb.RecommendRequest(), f"session_id: {ID}, found nothing"),
        (request(session_id="s" * 257), f"session_id: {ID}, found 257"),
        (request(session_id="s\0"), f"session_id: {ID}, found '\\x00'"),
        (request(user_id="u" * 257), f"user_id: {ID}, found 257"),
        (request(user_id="\x1b[31mu"), f"user_id: {ID}, found '\\x1b'"),
        (request(page_size=500), "page_size: must be between 1 and 100, got 500"),
        (request(page_size=-1), "page_size: must be between 1 and 100, got -1"),
        (request(recent_events=[recent_event()] * 51), "recent_events: must have at most 50 entries, got 51"),
        (request(recent_events=[recent_event(event_id="")]), f"recent_events[0].event_id: {ID}, found nothing"),
        (
            request(recent_events=[recent_event(), recent_event(item_id="i\u202e")]),
            f"recent_events[1].item_id: {ID}, found '\\u202e'",
        ),
        (request(exclude_item_ids=["a", ""]), f"exclude_item_ids[1]: {ID}, found nothing"),
        (request(exclude_item_ids=["a", "b", "c\x9f"]), f"exclude_item_ids[2]: {ID}, found '\\x9f'"),
        (request(exclude_item_ids=["a"] * 1_001), "exclude_item_ids: must have at most 1000 entries, got 1001"),
    ],
)
def test_a_wrong_field_is_named(message: pb.RecommendRequest, text: str) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        parse_request(message)
    assert str(caught.value) == text


def test_an_unknown_event_type_is_answered_with_the_known_ones() -> None:
    with pytest.raises(InvalidRequestError, match=r"^recent_events\[0\]\.event_type: expected one of view,.*'stare'"):
        parse_request(request(recent_events=[recent_event(event_type="stare")]))


def test_times_as_near_to_now_as_on_the_stream_are_taken() -> None:
    times = (NOW_MS - 30 * DAY_MS, NOW_MS, NOW_MS + 5 * 60_000)
    parsed = parse_request(request(recent_events=[recent_event(timestamp_ms=at) for at in times]))
    assert tuple(event.timestamp_ms for event in parsed.recent_events) == times


@pytest.mark.parametrize(
    ("timestamp_ms", "words"),
    [
        (0, "found 0 (a whole number)"),
        (-NOW_MS, "a whole number)"),
        (NOW_MS // 1000, f"found {NOW_MS // 1000}, which looks like seconds"),
        (NOW_MS * 1000, f"found {NOW_MS * 1000}, which looks like microseconds"),
        (NOW_MS * 1_000_000, f"found {NOW_MS * 1_000_000}, which looks like nanoseconds"),
        (253_402_300_800_000, "before the year 10000"),
        (NOW_MS + 5 * 60_000 + 1, "expected a time at most 0:05:00 after the clock's"),
        (NOW_MS + DAY_MS, "expected a time at most 0:05:00 after the clock's"),
        (NOW_MS - 30 * DAY_MS - 1, "expected a time at most 30 days before the clock's"),
    ],
)
def test_a_time_that_the_stream_would_refuse_is_refused_with_the_unit_that_it_looks_like(
    timestamp_ms: int, words: str
) -> None:
    with pytest.raises(InvalidRequestError, match=r"^recent_events\[1\]\.timestamp_ms: ") as caught:
        parse_request(request(recent_events=[recent_event(), recent_event(timestamp_ms=timestamp_ms)]))
    assert words in str(caught.value)


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
