"""Everything that streaming raises on purpose.

NextclickError
└── StreamingError
    ├── EventError              a message is no valid event: dead letter, never retried
    ├── KafkaUnavailableError   the brokers did not answer at start
    └── MetricsPortError        the port for metrics is taken
"""

from feature_repo.errors import NextclickError


class StreamingError(NextclickError):
    """Root of streaming's own exceptions."""


class EventError(StreamingError):
    """A message that is no valid event; says which field and what was expected there."""

    def __init__(self, field: str, expected: str) -> None:
        super().__init__(f"{field}: expected {expected}")
        self.field = field
        self.expected = expected


class KafkaUnavailableError(StreamingError):
    """The brokers did not answer."""

    def __init__(self, bootstrap_servers: str) -> None:
        super().__init__(f"Kafka does not answer at {bootstrap_servers}: start it or set KAFKA_BOOTSTRAP_SERVERS")


class MetricsPortError(StreamingError):
    """The port for metrics is taken."""

    def __init__(self, port: int) -> None:
        super().__init__(f"port {port} is taken: set METRICS_PORT to a free one, or to 0 for no metrics")
