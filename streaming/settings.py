"""Settings of the consumer and the archive writer, read from the environment."""

from pydantic import Field, SecretStr

from feature_repo.schema import DEAD_LETTER_TOPIC, EVENTS_TOPIC, ITEMS_TOPIC
from streaming.kafka_settings import KafkaSettings


class StreamingSettings(KafkaSettings):
    """An environment variable is called as its field, in upper case."""

    events_topic: str = EVENTS_TOPIC
    items_topic: str = ITEMS_TOPIC
    """Compacted topic of the catalogue, keyed by item_id."""
    dead_letter_topic: str = DEAD_LETTER_TOPIC
    topic_partitions: int = Field(default=4, ge=1)
    """Partitions of a topic that does not exist yet; also the most consumers that can share the work."""
    topic_replication_factor: int = Field(default=-1, ge=-1)
    """Replicas of a topic that does not exist yet; -1 leaves it to the broker's default."""

    consumer_group: str = Field(default="nextclick-streaming", min_length=1)
    consumer_batch_size: int = Field(default=2000, ge=1)
    """Most events folded and written together."""
    hot_events: int = Field(default=50_000, ge=1)
    """Events of sessions, and as many of users, kept in memory at about 1 kB each; what is not in memory is read
    back from the online store when an event arrives."""
    fold_user_history: bool = True
    """Whether the consumer keeps `user_history` as well."""
    fold_popular_items: bool = True
    """Whether the consumer keeps `popular_items` as well; needs at most 64 partitions."""

    erasures_topic: str = "erasures"
    """Compacted topic of the people who were erased."""
    erasure_key: SecretStr = SecretStr("")
    """Makes the hashed ids in the erasures topic unguessable. The same for all, for good: a new one forgets them."""

    consumer_instance_id: str = ""
    """Names this one of the group's members for good (a pod of a StatefulSet), so that after a restart it takes up its
    partitions at once. Two with the same name push each other out."""
    max_poll_interval_ms: int = Field(default=300_000, ge=1000)
    """Time that a batch may take before the group gives the member's partitions to others; waiting for a store that is
    away does not count."""

    catalogue_group: str = Field(default="nextclick-catalogue", min_length=1)

    archive_group: str = Field(default="nextclick-archive", min_length=1)
    archive_flush_rows: int = Field(default=50_000, ge=1)
    """Events buffered before they are written."""
    archive_flush_seconds: float = Field(default=5.0, gt=0)
    """Longest that an event waits in the buffer."""

    metrics_port: int = Field(default=0, ge=0, le=65535)
    """Port of the Prometheus metrics and of the probes /healthz and /readyz; 0 is off."""
    metrics_host: str = Field(default="127.0.0.1", min_length=1)
    """Address to serve them on; 0.0.0.0 inside a container."""
    liveness_seconds: float = Field(default=120.0, gt=0)
    """Age of the loop's last turn at which /healthz says no. Waiting for Kafka takes up to a minute of a turn."""
