"""The archive's pods: where events go and how long they wait; what consumers share: test_consumer_deployments.py."""

import pytest

from tests.chart.rendering import container, environment, pod


@pytest.mark.parametrize(
    ("scenario", "path"),
    [("tls", "/archive"), ("embedded", "/archive"), ("gpu-production", "s3://nextclick/archive")],
)
def test_events_go_where_training_reads_them(scenario: str, path: str) -> None:
    """The claim is mounted where the path says; nothing of object storage is mounted."""
    archive, training = container(scenario, "archive"), container(scenario, "training", kind="CronJob")
    assert environment(archive)["ARCHIVE_PATH"] == environment(training)["ARCHIVE_PATH"]
    assert environment(archive)["ARCHIVE_PATH"]["value"] == path
    claims = [volume["name"] for volume in pod(scenario, "archive")["volumes"] if "persistentVolumeClaim" in volume]
    mounted = {mount["name"]: mount["mountPath"] for mount in archive["volumeMounts"]}
    assert [mounted[claim] for claim in claims] == [path] * path.startswith("/")


def test_an_event_waits_in_memory_no_longer_than_the_values_say() -> None:
    variables = environment(container("tls", "archive", "archive.flushSeconds=7"))
    assert variables["ARCHIVE_FLUSH_SECONDS"]["value"] == "7"


def test_it_knows_who_was_erased_by_the_key_that_streaming_has() -> None:
    key = environment(container("tls", "archive"))["ERASURE_KEY"]
    assert key == environment(container("tls", "streaming"))["ERASURE_KEY"]
    assert key["valueFrom"]["secretKeyRef"]["name"] == "nextclick-erasure"
