"""`nextclick stream`: fold events from Kafka into sessions in the online store."""


def run() -> None:
    """Consume the topic `events` and keep each session in the online store up to date, until SIGTERM or Ctrl-C.

    Several of them share the work. Messages that are no valid events go to `events.dlq` with the reason.

    Example: `METRICS_PORT=9465 nextclick stream`
    """
    from nextclick.stack.addresses import KAFKA, REDIS, apply_to_environment

    apply_to_environment(require=(KAFKA, REDIS))
    from streaming.consumer import run_consumer
    from streaming.settings import StreamingSettings

    run_consumer(StreamingSettings())
