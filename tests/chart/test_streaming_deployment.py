"""The consumer's pods: what they fold, which topics they make; for all consumers: test_consumer_deployments.py."""

from tests.chart.rendering import container, environment


def test_topics_are_made_with_the_partitions_that_the_values_name() -> None:
    variables = environment(container("gpu-production", "streaming"))
    assert variables["TOPIC_PARTITIONS"]["value"] == "48"
    assert variables["TOPIC_REPLICATION_FACTOR"]["value"] == "3"


def test_what_streaming_folds_is_decided_by_values() -> None:
    settings = ("streaming.foldUserHistory=false", "streaming.foldPopularItems=false", "streaming.consumerGroup=other")
    variables = environment(container("tls", "streaming", *settings))
    assert variables["FOLD_USER_HISTORY"]["value"] == variables["FOLD_POPULAR_ITEMS"]["value"] == "false"
    assert variables["CONSUMER_GROUP"]["value"] == "other"
