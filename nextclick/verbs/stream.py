"""`nextclick stream`: fold events from Kafka into sessions in the online store."""


def run() -> None:
    """Consume the topic `events` and keep each session in the online store up to date, until SIGTERM or Ctrl-C.

    Several of them share the work. Messages that are no valid events go to `events.dlq` with the reason. Everything is
    set in the environment; docs/STREAMING.md lists it. Examples:

    - with metrics and probes over HTTP: `METRICS_PORT=9465 nextclick stream`

    - with a login at Kafka, over TLS: `KAFKA_SECURITY_PROTOCOL=SASL_SSL KAFKA_SASL_MECHANISM=SCRAM-SHA-512
    KAFKA_SASL_USERNAME=clicks KAFKA_SASL_PASSWORD_FILE=/run/secrets/kafka KAFKA_SSL_CA_FILE=ca.pem nextclick stream`

    - with a user of Redis, over TLS: `REDIS_URL=rediss://redis.example.com:6379/0 REDIS_USERNAME=clicks
    REDIS_PASSWORD_FILE=/run/secrets/redis REDIS_CA_FILE=ca.pem nextclick stream`

    - with logs for a machine, as one of a StatefulSet's pods: `LOG_FORMAT=json CONSUMER_INSTANCE_ID=$HOSTNAME nextclick
    stream`
    """
    from nextclick.stack.addresses import KAFKA, REDIS, apply_to_environment

    apply_to_environment(require=(KAFKA, REDIS))
    from streaming.sessions.consumer import run_consumer
    from streaming.settings import StreamingSettings

    run_consumer(StreamingSettings())
