"""With what KEDA logs in to Kafka, to ask for the lag."""

import pytest

from tests.chart.rendering import of, of_kind

KEDA = "streaming.autoscaling.enabled=true"
SASL = (KEDA, "kafka.security.protocol=SASL_SSL", "kafka.security.existingSecret=kafka-login")


@pytest.mark.parametrize(
    ("mechanism", "sasl", "keys"),
    [
        ("PLAIN", "plaintext", {"username": "KAFKA_SASL_USERNAME", "password": "KAFKA_SASL_PASSWORD"}),
        ("SCRAM-SHA-256", "scram_sha256", {"username": "KAFKA_SASL_USERNAME", "password": "KAFKA_SASL_PASSWORD"}),
        ("SCRAM-SHA-512", "scram_sha512", {"username": "KAFKA_SASL_USERNAME", "password": "KAFKA_SASL_PASSWORD"}),
        (
            "OAUTHBEARER",
            "oauthbearer",
            {
                "username": "KAFKA_OAUTH_CLIENT_ID",
                "password": "KAFKA_OAUTH_CLIENT_SECRET",
                "oauthTokenEndpointUri": "KAFKA_OAUTH_TOKEN_URL",
            },
        ),
    ],
)
def test_keda_logs_in_with_the_secret_of_the_pods(mechanism: str, sasl: str, keys: dict[str, str]) -> None:
    settings = (*SASL, f"kafka.security.saslMechanism={mechanism}")
    [trigger] = of("", "ScaledObject", "streaming", *settings)["spec"]["triggers"]
    authentication = of("", "TriggerAuthentication", "streaming", *settings)
    assert trigger["metadata"]["sasl"] == sasl
    assert trigger["metadata"]["tls"] == "enable"
    assert trigger["authenticationRef"]["name"] == authentication["metadata"]["name"]
    entries = authentication["spec"]["secretTargetRef"]
    assert {entry["parameter"]: entry["key"] for entry in entries} == keys
    assert {entry["name"] for entry in entries} == {"kafka-login"}


def test_keda_trusts_whom_the_pods_trust_and_shows_their_certificate() -> None:
    settings = (KEDA, "kafka.security.protocol=SSL", "kafka.security.tlsSecret=kafka-tls")
    entries = of("", "TriggerAuthentication", "streaming", *settings)["spec"]["secretTargetRef"]
    assert [(entry["parameter"], entry["key"]) for entry in entries] == [("ca", "ca.crt")]
    both = (*settings, "kafka.security.clientCertificate=true")
    entries = of("", "TriggerAuthentication", "streaming", *both)["spec"]["secretTargetRef"]
    keys = {entry["parameter"]: entry["key"] for entry in entries}
    assert keys == {"ca": "ca.crt", "cert": "tls.crt", "key": "tls.key"}


def test_a_trigger_authentication_of_ones_own_takes_the_place_of_ours() -> None:
    settings = (*SASL, "kafka.security.saslMechanism=PLAIN", "streaming.autoscaling.triggerAuthentication=mine")
    [trigger] = of("", "ScaledObject", "streaming", *settings)["spec"]["triggers"]
    assert trigger["authenticationRef"] == {"name": "mine"}
    assert not of_kind("", "TriggerAuthentication", *settings)
