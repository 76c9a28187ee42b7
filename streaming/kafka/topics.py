"""Creates the topics that streaming needs, and tells their identity."""

import logging
from typing import Any

from feature_repo.schema import ITEM_TTL, MAX_EVENT_BYTES
from streaming.kafka.admin import open_admin
from streaming.settings import StreamingSettings

log = logging.getLogger(__name__)

DEAD_LETTER_MAX_BYTES = 32 * MAX_EVENT_BYTES
"""Above the 1 MiB that a broker takes by default, so that any message plus our headers fits."""


def ensure_topics(settings: StreamingSettings) -> dict[str, str]:
    """Create what is missing of the two topics; returns the id (32 hex digits) of each by name.

    A topic's id is new whenever the topic is created anew, even under the same name.

    Raises KafkaUnavailableError, or KafkaRefusedError if we may not make them.
    """
    return _ensure(
        settings,
        {
            settings.events_topic: _options(settings, {}),
            settings.dead_letter_topic: _options(settings, {"max.message.bytes": str(DEAD_LETTER_MAX_BYTES)}),
        },
    )


def ensure_compacted_topic(settings: StreamingSettings, name: str, configs: dict[str, str] | None = None) -> str:
    """Create a topic that keeps the newest message of each key, if it is missing; its id. Raises as `ensure_topics`."""
    return _ensure(settings, {name: _options(settings, {"cleanup.policy": "compact", **(configs or {})})})[name]


def ensure_items_topic(settings: StreamingSettings) -> str:
    """As `ensure_compacted_topic`, for the catalogue.

    Deletions are kept as long as item rows live: who builds an online store anew has to hear of them.
    """
    kept_ms = int(ITEM_TTL.total_seconds() * 1000)
    return ensure_compacted_topic(settings, settings.items_topic, {"delete.retention.ms": str(kept_ms)})


def _ensure(settings: StreamingSettings, wanted: dict[str, dict[str, Any]]) -> dict[str, str]:
    with open_admin(settings) as admin:
        for name in sorted(wanted.keys() - admin.topics()):
            if admin.create_topic(name, wanted[name]):
                log.info("topic %s created with %d partitions", name, wanted[name]["num_partitions"])
        return {topic["name"]: _hex(topic["topic_id"]) for topic in admin.describe(list(wanted))}


def _options(settings: StreamingSettings, configs: dict[str, str]) -> dict[str, Any]:
    return {
        "num_partitions": settings.topic_partitions,
        "replication_factor": settings.topic_replication_factor,
        "configs": configs,
    }


def _hex(topic_id: object) -> str:
    return str(topic_id).replace("-", "")
