"""Streaming, catalogue and archive: consumer groups whose pods are alike but for what they are told to do."""

import pytest

from tests.chart.rendering import container, environment, objects, of

CONSUMERS = {"streaming": "consumer", "catalogue": "catalogue", "archive": "archive"}


@pytest.mark.parametrize(("component", "part"), CONSUMERS.items())
def test_it_runs_its_part_of_streaming(component: str, part: str) -> None:
    assert container("tls", component)["command"] == ["python", "-m", "streaming", part]


@pytest.mark.parametrize("component", CONSUMERS)
def test_probes_ask_where_its_metrics_are_served_for_all_to_reach(component: str) -> None:
    consumer = container("tls", component)
    assert environment(consumer)["METRICS_HOST"]["value"] == "0.0.0.0"  # noqa: S104
    paths = [consumer[name]["httpGet"]["path"] for name in ("startupProbe", "readinessProbe", "livenessProbe")]
    assert paths == ["/healthz", "/readyz", "/healthz"]


@pytest.mark.parametrize("component", CONSUMERS)
def test_an_update_adds_no_member_to_the_group(component: str) -> None:
    strategy = of("tls", "Deployment", component)["spec"]["strategy"]["rollingUpdate"]
    assert strategy == {"maxSurge": 0, "maxUnavailable": 1}


@pytest.mark.parametrize("component", CONSUMERS)
def test_switched_off_nothing_of_it_is_left(component: str) -> None:
    rendered = objects("tls", f"{component}.enabled=false")
    gone = {component} | ({"compaction"} if component == "archive" else set())
    left = [item["kind"] for item in rendered if item["metadata"]["labels"]["app.kubernetes.io/component"] in gone]
    # Training goes on reading what was archived.
    assert left == (["PersistentVolumeClaim"] if component == "archive" else [])


def test_brokers_that_ask_for_a_certificate_get_ours() -> None:
    variables = environment(container("tls", "streaming"))
    assert variables["KAFKA_SECURITY_PROTOCOL"]["value"] == "SSL"
    assert {"KAFKA_SSL_CA_FILE", "KAFKA_SSL_CERT_FILE", "KAFKA_SSL_KEY_FILE"} <= variables.keys()


def test_each_kind_of_login_has_the_secrets_that_it_needs() -> None:
    scram = environment(container("gpu-production", "streaming"))
    oauth = environment(container("keda", "streaming"))
    assert {"KAFKA_SASL_USERNAME", "KAFKA_SASL_PASSWORD"} <= scram.keys()
    assert {"KAFKA_OAUTH_TOKEN_URL", "KAFKA_OAUTH_CLIENT_ID", "KAFKA_OAUTH_CLIENT_SECRET"} <= oauth.keys()
    assert not {name for name in scram if "OAUTH" in name} | {name for name in oauth if "SASL_" in name} - {
        "KAFKA_SASL_MECHANISM"
    }
