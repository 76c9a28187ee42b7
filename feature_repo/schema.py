"""What crosses a boundary between stages, declared once: events, items, names, limits and reserved indices.

Imports neither Feast nor torch, so that every stage can afford it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from typing import Annotated, NamedTuple

from msgspec import Meta, Struct

# --- limits ---------------------------------------------------------------------------------------------------

MAX_SESSION_LENGTH = 50
"""Events kept of a session, the newest; also the width of every model input."""

MAX_ID_LENGTH = 256
"""Characters of an event, session, user or item id."""

MAX_TIMESTAMP_MS = 253_402_300_799_999
"""The end of the year 9999 (UTC), the last moment that every reader of the archive can express."""

MAX_ATTRIBUTES = 32
MAX_ATTRIBUTE_LENGTH = 4096
"""Characters of one attribute's string."""

MIN_WHOLE, MAX_WHOLE = -(2**63), 2**63 - 1
"""Whole numbers that an attribute may hold."""

MAX_EVENT_BYTES = 64 * 1024

MAX_HISTORY_LENGTH = 200
"""Events kept of a user over all sessions and devices, the newest."""

MAX_CLOCK_SKEW = timedelta(minutes=5)
"""How far an event's time may lie after the time of its message: clocks differ."""

SESSION_GAP = timedelta(minutes=30)
"""Inactivity that closes a session: what comes after it begins a new visit under the same session_id."""

SESSION_TTL = timedelta(days=30)
"""Age of its newest event at which a stored session is stale. Our reader enforces it; Feast does not, online."""

HISTORY_TTL = timedelta(days=180)
ITEM_TTL = timedelta(days=365)
POPULAR_ITEMS_TTL = timedelta(days=30)

POPULARITY_HALF_LIFE = timedelta(days=1)
"""Age at which an event counts half in `popular_items`."""

MAX_POPULAR_ITEMS = 500
"""Items kept of one scope of `popular_items` in one shard; up to that number scores are exact."""

MAX_POPULAR_SHARDS = 64
"""Partitions of the event topic whose popularity is kept; readers ask for all of them at once."""

DEFAULT_PAGE_SIZE = 10
MAX_PAGE_SIZE = 100
MAX_CANDIDATES = 200
"""Candidates the ensemble answers with; more than a page, so that the gateway can still drop some."""

# --- reserved indices of an item, an event type or a category: those of NVTabular's Categorify --------------------

PADDING_INDEX = 0
NULL_INDEX = 1
OUT_OF_VOCABULARY_INDEX = 2
FIRST_INDEX = 3
"""Index of the first entry of a vocabulary, hence also the count of reserved ones."""

PADDING_ITEM_ID = ""
"""Stands for "no event here" in string tensors; no item may be called so."""

# --- events and items ---------------------------------------------------------------------------------------------


class EventType(StrEnum):
    """What a person did with an item."""

    VIEW = "view"
    ADD_TO_CART = "add_to_cart"
    REMOVE_FROM_CART = "remove_from_cart"
    PURCHASE = "purchase"
    FAVOURITE = "favourite"
    WATCH = "watch"
    LIKE = "like"
    COMMENT = "comment"
    SHARE = "share"


EVENT_TYPES = {event_type.value: event_type for event_type in EventType}
"""By their words; `EventType(word)` takes several times as long."""


AttributeValue = str | int | float | bool

Id = Annotated[str, Meta(min_length=1, max_length=MAX_ID_LENGTH)]

_Text = Annotated[str, Meta(max_length=MAX_ATTRIBUTE_LENGTH)]
_Whole = Annotated[int, Meta(ge=MIN_WHOLE, le=MAX_WHOLE)]
Attributes = Annotated[dict[Id, _Text | _Whole | float | bool], Meta(max_length=MAX_ATTRIBUTES)]


class Event(Struct, frozen=True, forbid_unknown_fields=True):
    """One thing a person did, at `timestamp_ms` milliseconds since the Unix epoch (UTC).

    What stands beside a type holds for an event that is read from outside; one that is made here is not checked.
    """

    event_id: Id
    event_type: EventType
    session_id: Id
    item_id: Id
    timestamp_ms: Annotated[int, Meta(gt=0, le=MAX_TIMESTAMP_MS)]
    user_id: Id | None = None
    attributes: Attributes = {}


@dataclass(frozen=True, slots=True)
class Item:
    """Something that can be recommended, with its catalogue features; `price` in the shop's own currency."""

    item_id: str
    title: str = ""
    category: str = ""
    brand: str = ""
    price: float | None = None
    available: bool = True
    tags: tuple[str, ...] = ()


# --- names in Kafka -----------------------------------------------------------------------------------------------

EVENTS_TOPIC = "events"
ITEMS_TOPIC = "items"
DEAD_LETTER_TOPIC = "events.dlq"

# --- names in Feast -----------------------------------------------------------------------------------------------

PROJECT = "nextclick"
SESSION_EVENTS = "session_events"
USER_HISTORY = "user_history"
ITEM_PROFILE = "item_profile"
POPULAR_ITEMS = "popular_items"
FEATURE_SERVICE = "recommendation"

# --- names in Triton ----------------------------------------------------------------------------------------------

ENSEMBLE = "session_recommender"
PREPROCESS = "preprocess"
SESSION_TRANSFORMER = "session_transformer"
POSTPROCESS = "postprocess"
VOCABULARY_HASH_PARAMETER = "vocabulary_sha256"


class Tensor(StrEnum):
    """Tensor names of the ensemble. A row is padded on the left: its newest event stands in the last column."""

    # ensemble input
    ITEM_IDS = "item_ids"  # PADDING_ITEM_ID where there is no event
    EVENT_TYPES = "event_types"
    TIMESTAMPS_MS = "timestamps_ms"  # 0 where there is no event
    EXCLUDE_SEEN = "exclude_seen"  # never answer an item of the row itself
    # between the models
    ITEM_INDEX = "item_index"
    EVENT_TYPE_INDEX = "event_type_index"
    GAP_BUCKET = "gap_bucket"  # time since the event before, 0 where there is none
    CANDIDATE_INDEX = "candidate_index"  # best first, PADDING_INDEX once candidates run out
    # ensemble output
    CANDIDATE_ITEM_IDS = "candidate_item_ids"  # best first, PADDING_ITEM_ID once candidates run out
    CANDIDATE_SCORES = "candidate_scores"  # logits


class TensorType(StrEnum):
    """Data types. A name is Triton's in a model's configuration, after `TYPE_`; a value is that of its protocol."""

    STRING = "BYTES"
    INT64 = "INT64"
    BOOL = "BOOL"
    FP32 = "FP32"


class TensorSpec(NamedTuple):
    """What a tensor holds: (B, width) values of one type, B being the batch."""

    type: TensorType
    width: int


TENSORS: Mapping[Tensor, TensorSpec] = {
    Tensor.ITEM_IDS: TensorSpec(TensorType.STRING, MAX_SESSION_LENGTH),
    Tensor.EVENT_TYPES: TensorSpec(TensorType.STRING, MAX_SESSION_LENGTH),
    Tensor.TIMESTAMPS_MS: TensorSpec(TensorType.INT64, MAX_SESSION_LENGTH),
    Tensor.EXCLUDE_SEEN: TensorSpec(TensorType.BOOL, 1),
    Tensor.ITEM_INDEX: TensorSpec(TensorType.INT64, MAX_SESSION_LENGTH),
    Tensor.EVENT_TYPE_INDEX: TensorSpec(TensorType.INT64, MAX_SESSION_LENGTH),
    Tensor.GAP_BUCKET: TensorSpec(TensorType.INT64, MAX_SESSION_LENGTH),
    Tensor.CANDIDATE_INDEX: TensorSpec(TensorType.INT64, MAX_CANDIDATES),
    Tensor.CANDIDATE_ITEM_IDS: TensorSpec(TensorType.STRING, MAX_CANDIDATES),
    Tensor.CANDIDATE_SCORES: TensorSpec(TensorType.FP32, MAX_CANDIDATES),
}


class Signature(NamedTuple):
    """What a model takes and gives, in order."""

    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]


_EVENTS = (Tensor.ITEM_IDS, Tensor.EVENT_TYPES, Tensor.TIMESTAMPS_MS)
_INDICES = (Tensor.ITEM_INDEX, Tensor.EVENT_TYPE_INDEX, Tensor.GAP_BUCKET)

SIGNATURES: Mapping[str, Signature] = {
    PREPROCESS: Signature(_EVENTS, _INDICES),
    SESSION_TRANSFORMER: Signature((*_INDICES, Tensor.EXCLUDE_SEEN), (Tensor.CANDIDATE_INDEX, Tensor.CANDIDATE_SCORES)),
    POSTPROCESS: Signature((Tensor.CANDIDATE_INDEX,), (Tensor.CANDIDATE_ITEM_IDS,)),
    ENSEMBLE: Signature((*_EVENTS, Tensor.EXCLUDE_SEEN), (Tensor.CANDIDATE_ITEM_IDS, Tensor.CANDIDATE_SCORES)),
}
"""By model."""
