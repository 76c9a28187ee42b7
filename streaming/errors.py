"""Everything that streaming raises on purpose.

NextclickError
└── StreamingError
    ├── EventError              a message is no valid event: dead letter, never retried
    ├── DeadLettersError        the dead letters cannot be read or sent back, or there is none such
    ├── KafkaUnavailableError   the brokers did not answer at start
    ├── MetricsPortError        the port for metrics is taken
    └── TooManyPartitionsError  the event topic has more partitions than `popular_items` has shards
"""

from enum import StrEnum

from feature_repo.errors import NextclickError
from feature_repo.schema import MAX_POPULAR_SHARDS


class StreamingError(NextclickError):
    """Root of streaming's own exceptions."""


class Reason(StrEnum):
    """Why a message is no valid event: few words, fit for a header, a filter and a metric's label."""

    MALFORMED = "malformed"
    """The bytes are not what their content type says."""
    UNSUPPORTED_FORMAT = "unsupported_format"
    UNSUPPORTED_VERSION = "unsupported_version"
    MISSING = "missing"
    """A required field is not there, null or empty."""
    WRONG_TYPE = "wrong_type"
    UNKNOWN_VALUE = "unknown_value"
    """Not one of the few words that the field may hold."""
    OUT_OF_RANGE = "out_of_range"
    TOO_LONG = "too_long"
    """A string has too many characters."""
    TOO_LARGE = "too_large"
    """The message has too many bytes, or the attributes too many entries."""
    WRONG_KEY = "wrong_key"
    FROM_THE_FUTURE = "from_the_future"
    TOO_OLD = "too_old"


class EventError(StreamingError):
    """A message that is no valid event; says which field, what was expected there, and the kind of mistake."""

    def __init__(self, field: str, expected: str, reason: Reason) -> None:
        super().__init__(f"{field}: expected {expected}")
        self.field = field
        self.expected = expected
        self.reason = reason


class DeadLettersError(StreamingError):
    """The dead letters cannot be read or sent back, or there is none such."""


class KafkaUnavailableError(StreamingError):
    """The brokers did not answer."""

    def __init__(self, bootstrap_servers: str) -> None:
        super().__init__(f"Kafka does not answer at {bootstrap_servers}: start it or set KAFKA_BOOTSTRAP_SERVERS")


class MetricsPortError(StreamingError):
    """The port for metrics is taken."""

    def __init__(self, port: int) -> None:
        super().__init__(f"port {port} is taken: set METRICS_PORT to a free one, or to 0 for no metrics")


class TooManyPartitionsError(StreamingError):
    """The event topic has more partitions than `popular_items` has shards."""

    def __init__(self, partitions: int) -> None:
        super().__init__(
            f"popular items are kept for {MAX_POPULAR_SHARDS} partitions and the topic has {partitions} or more: "
            "set FOLD_POPULAR_ITEMS=false"
        )
