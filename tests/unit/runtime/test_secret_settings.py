"""Credentials out of the environment: by value or by file, checked together, and never shown."""

import pickle
from pathlib import Path
from typing import Any

import pytest
import trustme
from pydantic import ValidationError

from feature_repo.redis_connection import redis_options
from feature_repo.settings import SharedSettings
from runtime.errors import SecretFileError
from runtime.settings import settings_problem
from streaming.kafka.connection import kafka_options
from streaming.kafka_settings import KafkaSettings
from streaming.settings import StreamingSettings

SECRET = "hunter2-4711"
LOGIN = {
    "kafka_security_protocol": "SASL_SSL",
    "kafka_sasl_mechanism": "SCRAM-SHA-512",
    "kafka_sasl_username": "ann",
    "kafka_sasl_password": SECRET,
}


def test_nothing_is_set_by_default() -> None:
    assert kafka_options(KafkaSettings()) == {
        "bootstrap_servers": KafkaSettings().kafka_bootstrap_servers,
        "security_protocol": "PLAINTEXT",
        "reconnect_backoff_max_ms": 2000,
        "metadata_max_age_ms": 10_000,
        "proxy_url": "direct://",
    }
    assert redis_options(SharedSettings(redis_url="redis://h:1/2")) == {"url": "redis://h:1/2"}


def test_the_client_of_kafka_gets_what_is_set(tmp_path: Path) -> None:
    trustme.CA().cert_pem.write_to_path(tmp_path / "ca.pem")
    settings = KafkaSettings(**LOGIN, kafka_bootstrap_servers="b:9093", kafka_ssl_ca_file=tmp_path / "ca.pem")
    assert kafka_options(settings) == {
        "bootstrap_servers": "b:9093",
        "security_protocol": "SASL_SSL",
        "reconnect_backoff_max_ms": 2000,
        "metadata_max_age_ms": 10_000,
        "proxy_url": "direct://",
        "ssl_cafile": str(tmp_path / "ca.pem"),
        "sasl_mechanism": "SCRAM-SHA-512",
        "sasl_plain_username": "ann",
        "sasl_plain_password": SECRET,
    }


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        ({"kafka_security_protocol": "SASL_SSL"}, "KAFKA_SECURITY_PROTOCOL=SASL_SSL needs KAFKA_SASL_MECHANISM"),
        (LOGIN | {"kafka_sasl_username": ""}, "KAFKA_SASL_MECHANISM=SCRAM-SHA-512 needs KAFKA_SASL_USERNAME"),
        (
            LOGIN | {"kafka_sasl_mechanism": "OAUTHBEARER", "kafka_oauth_client_id": "ann"},
            "KAFKA_SASL_MECHANISM=OAUTHBEARER needs KAFKA_OAUTH_TOKEN_URL and KAFKA_OAUTH_CLIENT_SECRET",
        ),
        (
            LOGIN | {"kafka_security_protocol": "SSL"},
            "KAFKA_SASL_… is a login: set KAFKA_SECURITY_PROTOCOL to SASL_SSL or SASL_PLAINTEXT",
        ),
        (
            {"kafka_ssl_ca_file": __file__},
            "KAFKA_SSL_CA_FILE is for TLS: set KAFKA_SECURITY_PROTOCOL to SSL or SASL_SSL",
        ),
        (
            {"kafka_security_protocol": "SSL", "kafka_ssl_key_file": __file__},
            "KAFKA_SSL_CERT_FILE and KAFKA_SSL_KEY_FILE belong together: set both or neither",
        ),
        ({"redis_url": f"redis://u:{SECRET}/more@h:1/0"}, "REDIS_URL must name host and port: in a password write /"),
        ({"redis_url": f"redis://u:{SECRET}?more@h:1/0"}, "REDIS_URL must name host and port: in a password write /"),
        ({"redis_url": f"redis://u:{SECRET}#more@h:1/0"}, "REDIS_URL must name host and port: in a password write /"),
        ({"redis_url": f"redis://u:12/{SECRET}@h:1/0"}, "REDIS_URL must name host and port: in a password write /"),
        ({"redis_ca_file": __file__}, "REDIS_CA_FILE is for TLS: let REDIS_URL start with rediss://"),
        (
            {"redis_url": "rediss://h:1", "redis_cert_file": __file__},
            "REDIS_CERT_FILE and REDIS_KEY_FILE belong together: set both or neither",
        ),
        ({"kafka_ssl_ca_file": "/nowhere/ca.pem"}, "KAFKA_SSL_CA_FILE: Path does not point to a file"),
        ({"kafka_security_protocol": "TLS"}, "KAFKA_SECURITY_PROTOCOL: Input should be 'PLAINTEXT', 'SSL', "),
    ],
)
def test_what_does_not_go_together_is_one_clear_line(given: dict[str, Any], problem: str) -> None:
    with pytest.raises(ValidationError) as raised:
        KafkaSettings(**({"redis_url": "redis://h:1"} | given))
    assert settings_problem(raised.value).startswith(problem)
    assert SECRET not in f"{raised.value} {raised.value!r}"


def test_a_secret_may_come_from_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "secret").write_text(f"{SECRET}\n")
    monkeypatch.delenv("REDIS_PASSWORD", raising=False)
    monkeypatch.setenv("REDIS_PASSWORD_FILE", str(tmp_path / "secret"))
    assert SharedSettings().redis_password.get_secret_value() == SECRET
    monkeypatch.setenv("REDIS_PASSWORD", "nearer")
    assert SharedSettings().redis_password.get_secret_value() == "nearer"


def test_a_setting_that_is_no_secret_does_not_come_from_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "name").write_text("ann")
    monkeypatch.setenv("REDIS_USERNAME_FILE", str(tmp_path / "name"))
    assert SharedSettings().redis_username == ""


def test_a_file_that_is_not_there_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ERASURE_KEY_FILE", "/nowhere/key")
    with pytest.raises(
        SecretFileError, match="ERASURE_KEY_FILE names /nowhere/key, which cannot be read: No such file"
    ):
        StreamingSettings()


def test_settings_show_no_secret() -> None:
    settings = StreamingSettings(**LOGIN, redis_url=f"redis://:{SECRET}@h:1", redis_password=SECRET)
    shown = f"{settings} {settings!r} {settings.model_dump()} {settings.model_dump_json()}"
    assert SECRET not in shown
    assert pickle.loads(pickle.dumps(settings)) == settings  # noqa: S301  # a child process gets them so
