"""TLS, logins and users, with a Kafka broker and a Redis that insist on them; no secret ever shows."""

import logging
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from typing import TYPE_CHECKING, Any
from urllib.request import urlopen
from uuid import uuid4

import psutil
import pytest
from kafka import KafkaAdminClient, KafkaProducer, TopicPartition
from msgspec import structs
from prometheus_client import CollectorRegistry

from feature_repo.errors import OnlineStoreError
from feature_repo.feature_store import apply, open_feature_store
from feature_repo.online.store import OnlineStoreReader, Status
from feature_repo.redis_connection import redis_options
from feature_repo.schema import Event, EventType
from feature_repo.session import fold
from feature_repo.settings import SharedSettings
from streaming.events.parser import event_to_json
from streaming.kafka.batches import Batch
from streaming.kafka.connection import kafka_options, unavailable
from streaming.kafka.consumer import PatientConsumer
from streaming.kafka.member import open_consumer
from streaming.kafka.topics import ensure_topics
from streaming.kafka_settings import KafkaSettings
from streaming.sessions.consumer import run_consumer
from streaming.settings import StreamingSettings
from streaming.stage.lag import PartitionLag
from tests.support.own_names import own_names
from tests.support.ports import free_ports
from tests.support.secure_servers import (
    CLIENT_ID,
    CLIENT_SECRET,
    KAFKA_PASSWORD,
    PASSWORD,
    USER,
    Certificates,
    SecureKafka,
    TokenEndpoint,
    make_certificates,
    running_kafka,
    running_redis,
)
from tests.support.stage_thread import running
from tests.support.stored_rows import StoredRows
from tests.support.waiting import LIMIT_SECONDS, wait_until

if TYPE_CHECKING:
    from feast import FeatureStore

SECRETS = (PASSWORD, KAFKA_PASSWORD, CLIENT_SECRET)


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return make_certificates(tmp_path_factory.mktemp("secure"))


@pytest.fixture(scope="module")
def kafka(certificates: Certificates) -> Iterator[SecureKafka]:
    with running_kafka(certificates.ca.parent) as kafka:
        yield kafka


@pytest.fixture(scope="module")
def redis_port(certificates: Certificates) -> Iterator[int]:
    with running_redis(certificates.ca.parent, certificates) as port:
        yield port


@pytest.fixture(scope="module")
def tokens() -> Iterator[TokenEndpoint]:
    endpoint = TokenEndpoint()
    yield endpoint
    endpoint.close()


@pytest.fixture
def brief_tokens() -> Iterator[TokenEndpoint]:
    """Of tokens that are good for a second."""
    endpoint = TokenEndpoint(seconds=1)
    yield endpoint
    endpoint.close()


def login(kafka: SecureKafka, certificates: Certificates, mechanism: str = "PLAIN", **changes: Any) -> dict[str, Any]:
    return {
        "kafka_bootstrap_servers": kafka.login,
        "kafka_security_protocol": "SASL_SSL",
        "kafka_ssl_ca_file": certificates.ca,
        "kafka_sasl_mechanism": mechanism,
        "kafka_sasl_username": USER,
        "kafka_sasl_password": KAFKA_PASSWORD,
        **changes,
    }


@pytest.fixture(params=["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "OAUTHBEARER", "certificate"])
def ways_in(
    request: pytest.FixtureRequest, kafka: SecureKafka, certificates: Certificates, tokens: TokenEndpoint
) -> dict[str, Any]:
    """Settings of every way to get in."""
    if request.param == "certificate":
        return {
            "kafka_bootstrap_servers": kafka.tls,
            "kafka_security_protocol": "SSL",
            "kafka_ssl_ca_file": certificates.ca,
            "kafka_ssl_cert_file": certificates.client_cert,
            "kafka_ssl_key_file": certificates.client_key,
        }
    oauth = {
        "kafka_oauth_token_url": tokens.url,
        "kafka_oauth_client_id": CLIENT_ID,
        "kafka_oauth_client_secret": CLIENT_SECRET,
    }
    return login(kafka, certificates, request.param, **(oauth if request.param == "OAUTHBEARER" else {}))


def names() -> dict[str, Any]:
    return {**own_names(uuid4().hex[:8]), "topic_partitions": 1}


def test_admin_producer_and_consumer_get_in(ways_in: dict[str, Any], caplog: pytest.LogCaptureFixture) -> None:
    settings = StreamingSettings(**ways_in, **names())
    with caplog.at_level(logging.DEBUG):
        ensure_topics(settings)
        with closing(KafkaProducer(**kafka_options(settings))) as producer:
            producer.send(settings.events_topic, b"hello").get(LIMIT_SECONDS)
        with closing(open_consumer(settings, settings.consumer_group)) as consumer:
            consumer.assign([TopicPartition(settings.events_topic, 0)])
            (records,) = consumer.poll(LIMIT_SECONDS * 1000).values()
    assert [record.value for record in records] == [b"hello"]
    assert any(record.name == "kafka.net.connection" for record in caplog.records)  # it did log at its most talkative
    assert not [record for record in caplog.records if any(secret in str(vars(record)) for secret in SECRETS)]


def test_one_token_serves_many_connections(
    kafka: SecureKafka, certificates: Certificates, tokens: TokenEndpoint
) -> None:
    asked = len(tokens.forms)
    settings = KafkaSettings(
        **login(kafka, certificates, "OAUTHBEARER"),
        kafka_oauth_token_url=f"{tokens.url}?of=this-test",
        kafka_oauth_client_id=CLIENT_ID,
        kafka_oauth_client_secret=CLIENT_SECRET,
    )
    for _ in range(3):
        KafkaAdminClient(**kafka_options(settings)).close()
    assert len(tokens.forms) == asked + 1


def test_a_member_outlasts_an_absence_of_those_who_grant_tokens(
    kafka: SecureKafka, certificates: Certificates, brief_tokens: TokenEndpoint, caplog: pytest.LogCaptureFixture
) -> None:
    settings = StreamingSettings(
        **login(kafka, certificates, "OAUTHBEARER"),
        **names(),
        kafka_oauth_token_url=brief_tokens.url,
        kafka_oauth_client_id=CLIENT_ID,
        kafka_oauth_client_secret=CLIENT_SECRET,
    )
    ensure_topics(settings)
    found: dict[TopicPartition, int] = {}
    with closing(PatientConsumer(settings, settings.consumer_group, [settings.events_topic])) as member:

        def reads_on() -> bool:
            found.update(member.poll().next_offsets)
            return bool(found)

        wait_until("partitions", lambda: bool(member.poll() or member.kafka.assignment()))
        brief_tokens.is_away = True
        time.sleep(1)  # the last token is not good any more
        _cut_connections(kafka)
        wait_until("its absence", lambda: not reads_on() and "KAFKA_OAUTH_TOKEN_URL answers 503" in caplog.text)
        with closing(KafkaProducer(**kafka_options(KafkaSettings(**login(kafka, certificates))))) as producer:
            producer.send(settings.events_topic, b"hello").get(LIMIT_SECONDS)
        assert not reads_on()
        brief_tokens.is_away = False
        wait_until("the message", reads_on)
        wait_until("a commit", lambda: member.commit(found))


def _cut_connections(kafka: SecureKafka) -> None:
    """Those of this process, as if the network had done it."""
    port = int(kafka.login.rpartition(":")[2])
    for connection in psutil.Process().net_connections("tcp"):
        if connection.raddr and connection.raddr.port == port:
            with closing(socket.socket(fileno=os.dup(connection.fd))) as ours:
                ours.shutdown(socket.SHUT_RDWR)


def test_a_wrong_password_is_one_clear_line_without_it(kafka: SecureKafka, certificates: Certificates) -> None:
    wrong = login(kafka, certificates, "SCRAM-SHA-256", kafka_sasl_password="not-this-one")
    environment = {name.upper(): str(value) for name, value in wrong.items()}
    argv = [sys.executable, "-m", "nextclick", "dlq", "list"]
    done = subprocess.run(argv, env=environment, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 1
    assert not done.stdout
    assert done.stderr == (
        f"error: Kafka at {kafka.login} cannot be used: it answers, but the login by SCRAM-SHA-256 fails: "
        "check KAFKA_SASL_USERNAME, KAFKA_SASL_PASSWORD and KAFKA_SASL_MECHANISM\n"
    )


def test_what_is_wrong_with_tls_is_told(kafka: SecureKafka, certificates: Certificates) -> None:
    def why(**changes: Any) -> str:
        return str(unavailable(KafkaSettings(**login(kafka, certificates, **changes))))

    no_login = {"kafka_sasl_mechanism": None, "kafka_sasl_username": "", "kafka_security_protocol": "SSL"}
    _, _, login_port = kafka.login.partition(":")
    assert "unable to get local issuer certificate" in why(kafka_ssl_ca_file=None)
    assert "IP address mismatch" in why(kafka_bootstrap_servers=f"127.0.0.1:{login_port}")
    assert "BAD_CERTIFICATE): check KAFKA_SECURITY_PROTOCOL and KAFKA_SSL_CERT_FILE" in why(
        kafka_bootstrap_servers=kafka.tls, **no_login
    )
    assert "does not answer" in why(kafka_bootstrap_servers=f"127.0.0.1:{free_ports(1)[0]}")


def test_a_member_that_has_a_name_keeps_it_over_a_restart(kafka: SecureKafka, certificates: Certificates) -> None:
    settings = StreamingSettings(**login(kafka, certificates), **names(), consumer_instance_id="pod-0")
    ensure_topics(settings)
    seen = []
    with closing(KafkaAdminClient(**kafka_options(settings))) as admin:
        for _ in range(2):
            with closing(PatientConsumer(settings, settings.consumer_group, [settings.events_topic])) as member:
                wait_until("partitions", lambda member=member: bool(member.poll() or member.kafka.assignment()))
                group = admin.describe_groups([settings.consumer_group])[settings.consumer_group]
                seen.append([each["group_instance_id"] for each in group["members"]])
    assert seen == [["pod-0"], ["pod-0"]]


def test_lag_is_what_waits_in_messages_and_in_seconds(kafka: SecureKafka, certificates: Certificates) -> None:
    settings = StreamingSettings(**login(kafka, certificates), **names(), consumer_batch_size=2)
    ensure_topics(settings)
    partition = TopicPartition(settings.events_topic, 0)
    with (
        closing(KafkaProducer(**kafka_options(settings))) as producer,
        closing(open_consumer(settings, settings.consumer_group)) as consumer,
    ):

        def send(count: int) -> None:
            for _ in range(count):
                producer.send(settings.events_topic, b"x", timestamp_ms=1_000)
            producer.flush()

        def lag(unwritten: dict[TopicPartition, int] | None = None) -> tuple[float | None, float | None]:
            registry = CollectorRegistry()
            found = PartitionLag(registry)
            found.handled(batch)
            found.observe(consumer, unwritten)
            labels = {"topic": settings.events_topic, "partition": "0"}
            return tuple(registry.get_sample_value(f"nextclick_lag_{unit}", labels) for unit in ("messages", "seconds"))

        send(5)
        consumer.assign([partition])
        batch = Batch(consumer.poll(20_000))
        messages, seconds = lag()
        assert messages == 3
        assert seconds is not None
        assert seconds > 1e9  # the handled message is of 1970
        assert lag({partition: 0})[0] == 5
        consumer.pause(partition)
        send(4)
        assert lag()[0] == 7
        consumer.resume(partition)
        consumer.seek_to_end(partition)
        assert consumer.position(partition) == 9
        assert lag() == (0, 0)


# --- Redis ------------------------------------------------------------------------------------------------------------


@pytest.fixture
def redis_settings(redis_port: int, certificates: Certificates) -> SharedSettings:
    return SharedSettings(
        redis_url=f"rediss://localhost:{redis_port}/0",
        redis_username=USER,
        redis_password=PASSWORD,
        redis_ca_file=certificates.ca,
    )


def view_of(item_id: str) -> Event:
    from time import time

    return Event(uuid4().hex, EventType.VIEW, uuid4().hex, item_id, int(time() * 1000))


async def test_sessions_go_through_tls_as_a_user(redis_settings: SharedSettings) -> None:
    event = view_of("item 1")
    StoredRows(redis_settings).write_sessions([fold(None, [event])])
    reader = OnlineStoreReader(redis_settings)
    stored = await reader.read_session(event.session_id)
    await reader.close()
    assert stored.status is Status.PRESENT
    assert stored.session is not None
    assert [each.item_id for each in stored.session.events] == ["item 1"]


@pytest.fixture
def feast(redis_settings: SharedSettings) -> "FeatureStore":
    """With the definitions applied, here and not by the consumer, as importing Feast once takes long enough."""
    store = open_feature_store(redis_settings)
    apply(redis_settings, store)
    return store


def test_feast_gets_in_with_any_password(feast: "FeatureStore") -> None:
    from feast.infra.online_stores.redis import RedisOnlineStore

    client = RedisOnlineStore()._get_client(feast.config.online_store)
    assert client.ping()  # which the server answers to USER alone
    client.close()


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"redis_password": "not-this-one"}, "invalid username-password pair"),
        ({"redis_username": "default"}, "invalid username-password pair"),
        ({"redis_ca_file": None}, "certificate verify failed"),
    ],
)
def test_redis_says_why_it_keeps_us_out(redis_settings: SharedSettings, changes: dict[str, Any], expected: str) -> None:
    settings = SharedSettings(
        **{name: getattr(redis_settings, name) for name in redis_settings.model_fields_set} | changes
    )
    with pytest.raises(OnlineStoreError, match=expected) as raised:
        StoredRows(settings).write_sessions([fold(None, [view_of("item 1")])])
    assert not [secret for secret in (*SECRETS, "not-this-one") if secret in str(raised.value)]


def test_a_password_in_the_url_comes_first(redis_settings: SharedSettings) -> None:
    import redis

    settings = redis_settings.model_copy(update={"redis_url": type(redis_settings.redis_password)("redis://bo:pw@h:1")})
    options = redis.Redis.from_url(**redis_options(settings)).connection_pool.connection_kwargs
    assert (options["username"], options["password"]) == ("bo", "pw")


# --- the whole way ----------------------------------------------------------------------------------------------------


def test_events_go_all_the_way_through_tls(
    kafka: SecureKafka,
    certificates: Certificates,
    redis_settings: SharedSettings,
    feast: "FeatureStore",
    caplog: pytest.LogCaptureFixture,
) -> None:
    (port,) = free_ports(1)
    redis = {name: getattr(redis_settings, name) for name in redis_settings.model_fields_set}
    settings = StreamingSettings(**login(kafka, certificates, "SCRAM-SHA-512"), **names(), **redis, metrics_port=port)
    ensure_topics(settings)
    first = view_of("item 1")
    events = [first, structs.replace(first, event_id=uuid4().hex, item_id="item 2"), first]
    with closing(KafkaProducer(**kafka_options(settings))) as producer:
        for event in events:
            producer.send(settings.events_topic, key=event.session_id.encode(), value=event_to_json(event))
        producer.send(settings.events_topic, key=b"x", value=b"no event")

    def metrics() -> list[str]:
        return get(port, "/metrics").splitlines()

    with caplog.at_level(logging.DEBUG), running(run_consumer, settings):
        wait_until("the probes", lambda: _serves(port))
        wait_until("ready", lambda: get(port, "/readyz") == "ready\n")
        lag = f'nextclick_lag_messages{{partition="0",topic="{settings.events_topic}"}} 0.0'
        wait_until("no lag", lambda: lag in metrics())
        text = metrics()
    assert 'nextclick_events_total{event_type="view",result="written"} 2.0' in text
    assert 'nextclick_events_total{event_type="view",result="duplicate"} 1.0' in text
    assert 'nextclick_dead_letters_total{field="event",reason="malformed"} 1.0' in text
    assert "nextclick_event_visible_seconds_count 3.0" in text
    assert not [record for record in caplog.records if any(secret in str(vars(record)) for secret in SECRETS)]
    rejected = [record for record in caplog.records if "no valid events" in record.getMessage()]
    assert [vars(record)["place"] for record in rejected] == [f"{settings.events_topic}[0]@3"]


def get(port: int, path: str) -> str:
    """What is served there; a probe that says no counts as nothing."""
    from urllib.error import HTTPError

    try:
        with urlopen(f"http://127.0.0.1:{port}{path}", timeout=LIMIT_SECONDS) as response:
            return str(response.read().decode())
    except HTTPError as error:
        error.close()
        return ""


def _serves(port: int) -> bool:
    try:
        return bool(get(port, "/healthz"))
    except OSError:
        return False
