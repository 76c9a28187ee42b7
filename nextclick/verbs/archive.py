"""`nextclick archive`: append events from Kafka to the Parquet archive."""


def run() -> None:
    """Consume the topic `events` and write Parquet files by event date under ARCHIVE_PATH, until SIGTERM or Ctrl-C.

    Example: `ARCHIVE_PATH=./archive nextclick archive`
    """
    from nextclick.stack.addresses import KAFKA, apply_to_environment

    apply_to_environment(require=(KAFKA,))
    from streaming.archive import run_archive
    from streaming.settings import StreamingSettings

    run_archive(StreamingSettings())
