"""Settings of the consumer and the archive writer, read from the environment."""

from pydantic import Field

from feature_repo.schema import DEAD_LETTER_TOPIC, EVENTS_TOPIC
from feature_repo.settings import SharedSettings


class StreamingSettings(SharedSettings):
    """An environment variable is called as its field, in upper case."""

    kafka_bootstrap_servers: str = Field(default="127.0.0.1:9092", min_length=1)
    """host:port, several separated by commas."""
    events_topic: str = EVENTS_TOPIC
    dead_letter_topic: str = DEAD_LETTER_TOPIC
    topic_partitions: int = Field(default=4, ge=1)
    """Partitions of a topic that does not exist yet; also the most consumers that can share the work."""
    topic_replication_factor: int = Field(default=-1, ge=-1)
    """Replicas of a topic that does not exist yet; -1 leaves it to the broker's default."""

    consumer_group: str = Field(default="nextclick-streaming", min_length=1)
    consumer_batch_size: int = Field(default=2000, ge=1)
    """Most events folded and written together."""
    hot_sessions: int = Field(default=10_000, ge=1)
    """Sessions kept in memory; others are read back from the online store when an event of theirs arrives."""

    archive_group: str = Field(default="nextclick-archive", min_length=1)
    archive_flush_rows: int = Field(default=50_000, ge=1)
    """Events buffered before they are written."""
    archive_flush_seconds: float = Field(default=5.0, gt=0)
    """Longest that an event waits in the buffer."""

    metrics_port: int = Field(default=0, ge=0, le=65535)
    """Port of the Prometheus metrics; 0 is off."""
