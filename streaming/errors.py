"""Everything that streaming raises on purpose.

NextclickError
├── EventError                  a message is no valid event: dead letter, never retried; FieldError's name here
└── StreamingError
    ├── CatalogueError          the topic of items cannot be read or written
    ├── DeadLettersError        the dead letters cannot be read or sent back, or there is none such
    ├── KafkaFailedError        Kafka did not do what it was asked
    │   ├── KafkaUnavailableError   the brokers do not answer, or refuse us
    │   ├── KafkaRefusedError       one request was refused, while others may succeed
    │   └── TokenError              there is no token to log in to Kafka with
    ├── MetricsPortError        the metrics cannot be served at METRICS_HOST and METRICS_PORT
    └── TooManyPartitionsError  the event topic has more partitions than `popular_items` has shards
"""

from feature_repo.errors import FieldError
from feature_repo.schema import MAX_POPULAR_SHARDS
from runtime.errors import NextclickError


class StreamingError(NextclickError):
    """Root of streaming's own exceptions."""


EventError = FieldError
"""A message that is no valid event, or no valid item; the rules of fields, which every edge shares, raise it."""


class CatalogueError(StreamingError):
    """The topic of items cannot be read or written."""


class DeadLettersError(StreamingError):
    """The dead letters cannot be read or sent back, or there is none such."""


class KafkaFailedError(StreamingError):
    """Kafka did not do what it was asked. Whatever its client raises leaves `streaming/kafka` as one of these."""


class KafkaRefusedError(KafkaFailedError):
    """One request was refused, in the client's words: a message that is too large, a topic that is not there."""

    def __init__(self, error: Exception) -> None:
        super().__init__(f"Kafka refuses: {error}")


class KafkaUnavailableError(KafkaFailedError):
    """The brokers did not answer, or refuse us for the reason given, which says what to do."""

    def __init__(self, bootstrap_servers: str, reason: str = "") -> None:
        super().__init__(
            f"Kafka at {bootstrap_servers} cannot be used: {reason}"
            if reason
            else f"Kafka does not answer at {bootstrap_servers}: start it, or set KAFKA_BOOTSTRAP_SERVERS "
            "and, if it wants TLS or a login, KAFKA_SECURITY_PROTOCOL"
        )


class TokenError(KafkaFailedError):
    """There is no token to log in to Kafka with."""


class MetricsPortError(StreamingError):
    """The metrics cannot be served at this address."""

    def __init__(self, host: str, port: int, cause: OSError) -> None:
        why = cause.strerror or str(cause)
        super().__init__(f"metrics cannot be served on {host}:{port} ({why}): set METRICS_PORT to a free port, or to 0")


class TooManyPartitionsError(StreamingError):
    """The event topic has more partitions than `popular_items` has shards."""

    def __init__(self, partitions: int) -> None:
        super().__init__(
            f"popular items are kept for {MAX_POPULAR_SHARDS} partitions and the topic has {partitions} or more: "
            "set FOLD_POPULAR_ITEMS=false"
        )
