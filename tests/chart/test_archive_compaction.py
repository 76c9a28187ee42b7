"""The CronJob that merges the archive's small files."""

from tests.chart.rendering import container, environment, objects, of


def test_compaction_works_on_the_archive_that_is_written_and_asks_who_was_erased() -> None:
    cron = of("tls", "CronJob", "compaction")["spec"]
    compaction = container("tls", "compaction", kind="CronJob")
    writer = container("tls", "archive")
    assert cron["concurrencyPolicy"] == "Forbid"
    assert compaction["command"] == ["nextclick", "archive", "compact"]
    for name in ("ARCHIVE_PATH", "KAFKA_BOOTSTRAP_SERVERS", "ERASURE_KEY"):
        assert environment(compaction)[name] == environment(writer)[name]
    assert not [item for item in objects("tls", "archive.compaction.enabled=false") if "compaction" in str(item)]
