"""`nextclick catalogue`: keep the online store's items as the topic `items` says."""


def run() -> None:
    """Consume the topic `items` and keep each item's row in the online store up to date, until SIGTERM or Ctrl-C.

    An item that becomes unavailable, or is deleted, is out of the gateway's answers within a second. Several of them
    share the work. Messages that are no valid items go to `events.dlq` with the reason. `nextclick items` sends to the
    topic; so may any producer: the key is the item_id, the value a JSON object of the other fields, empty to delete.

    Example: `METRICS_PORT=9466 nextclick catalogue`
    """
    from nextclick.stack.addresses import KAFKA, REDIS, apply_to_environment

    apply_to_environment(require=(KAFKA, REDIS))
    from streaming.catalogue.consumer import run_catalogue
    from streaming.settings import StreamingSettings

    run_catalogue(StreamingSettings())
