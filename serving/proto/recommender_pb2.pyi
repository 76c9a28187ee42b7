from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class DegradedReason(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    DEGRADED_REASON_UNSPECIFIED: _ClassVar[DegradedReason]
    DEGRADED_REASON_SESSION_MISSING: _ClassVar[DegradedReason]
    DEGRADED_REASON_SESSION_STALE: _ClassVar[DegradedReason]
    DEGRADED_REASON_FEATURE_STORE_UNAVAILABLE: _ClassVar[DegradedReason]
    DEGRADED_REASON_MODEL_UNAVAILABLE: _ClassVar[DegradedReason]
    DEGRADED_REASON_MODEL_DEADLINE: _ClassVar[DegradedReason]
    DEGRADED_REASON_MODEL_INCOMPATIBLE: _ClassVar[DegradedReason]
DEGRADED_REASON_UNSPECIFIED: DegradedReason
DEGRADED_REASON_SESSION_MISSING: DegradedReason
DEGRADED_REASON_SESSION_STALE: DegradedReason
DEGRADED_REASON_FEATURE_STORE_UNAVAILABLE: DegradedReason
DEGRADED_REASON_MODEL_UNAVAILABLE: DegradedReason
DEGRADED_REASON_MODEL_DEADLINE: DegradedReason
DEGRADED_REASON_MODEL_INCOMPATIBLE: DegradedReason

class RecommendRequest(_message.Message):
    __slots__ = ("session_id", "user_id", "recent_events", "page_size", "exclude_seen", "exclude_item_ids")
    SESSION_ID_FIELD_NUMBER: _ClassVar[int]
    USER_ID_FIELD_NUMBER: _ClassVar[int]
    RECENT_EVENTS_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    EXCLUDE_SEEN_FIELD_NUMBER: _ClassVar[int]
    EXCLUDE_ITEM_IDS_FIELD_NUMBER: _ClassVar[int]
    session_id: str
    user_id: str
    recent_events: _containers.RepeatedCompositeFieldContainer[RecentEvent]
    page_size: int
    exclude_seen: bool
    exclude_item_ids: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, session_id: _Optional[str] = ..., user_id: _Optional[str] = ..., recent_events: _Optional[_Iterable[_Union[RecentEvent, _Mapping]]] = ..., page_size: _Optional[int] = ..., exclude_seen: _Optional[bool] = ..., exclude_item_ids: _Optional[_Iterable[str]] = ...) -> None: ...

class RecentEvent(_message.Message):
    __slots__ = ("event_id", "event_type", "item_id", "timestamp_ms")
    EVENT_ID_FIELD_NUMBER: _ClassVar[int]
    EVENT_TYPE_FIELD_NUMBER: _ClassVar[int]
    ITEM_ID_FIELD_NUMBER: _ClassVar[int]
    TIMESTAMP_MS_FIELD_NUMBER: _ClassVar[int]
    event_id: str
    event_type: str
    item_id: str
    timestamp_ms: int
    def __init__(self, event_id: _Optional[str] = ..., event_type: _Optional[str] = ..., item_id: _Optional[str] = ..., timestamp_ms: _Optional[int] = ...) -> None: ...

class RecommendResponse(_message.Message):
    __slots__ = ("recommendation_id", "items", "model_name", "model_version", "degraded_reason", "session_length", "last_event_timestamp_ms", "last_event_id")
    RECOMMENDATION_ID_FIELD_NUMBER: _ClassVar[int]
    ITEMS_FIELD_NUMBER: _ClassVar[int]
    MODEL_NAME_FIELD_NUMBER: _ClassVar[int]
    MODEL_VERSION_FIELD_NUMBER: _ClassVar[int]
    DEGRADED_REASON_FIELD_NUMBER: _ClassVar[int]
    SESSION_LENGTH_FIELD_NUMBER: _ClassVar[int]
    LAST_EVENT_TIMESTAMP_MS_FIELD_NUMBER: _ClassVar[int]
    LAST_EVENT_ID_FIELD_NUMBER: _ClassVar[int]
    recommendation_id: str
    items: _containers.RepeatedCompositeFieldContainer[RecommendedItem]
    model_name: str
    model_version: str
    degraded_reason: DegradedReason
    session_length: int
    last_event_timestamp_ms: int
    last_event_id: str
    def __init__(self, recommendation_id: _Optional[str] = ..., items: _Optional[_Iterable[_Union[RecommendedItem, _Mapping]]] = ..., model_name: _Optional[str] = ..., model_version: _Optional[str] = ..., degraded_reason: _Optional[_Union[DegradedReason, str]] = ..., session_length: _Optional[int] = ..., last_event_timestamp_ms: _Optional[int] = ..., last_event_id: _Optional[str] = ...) -> None: ...

class RecommendedItem(_message.Message):
    __slots__ = ("item_id", "score", "position")
    ITEM_ID_FIELD_NUMBER: _ClassVar[int]
    SCORE_FIELD_NUMBER: _ClassVar[int]
    POSITION_FIELD_NUMBER: _ClassVar[int]
    item_id: str
    score: float
    position: int
    def __init__(self, item_id: _Optional[str] = ..., score: _Optional[float] = ..., position: _Optional[int] = ...) -> None: ...
