"""Topics and groups of one test alone, in a broker that others use too."""


def own_names(run_id: str) -> dict[str, str]:
    """As fields of StreamingSettings."""
    return {
        "events_topic": f"events-{run_id}",
        "items_topic": f"items-{run_id}",
        "dead_letter_topic": f"events-{run_id}.dlq",
        "erasures_topic": f"erasures-{run_id}",
        "consumer_group": f"streaming-{run_id}",
        "catalogue_group": f"catalogue-{run_id}",
        "archive_group": f"archive-{run_id}",
    }
