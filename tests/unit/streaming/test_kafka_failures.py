"""Errors of Kafka's client: one map, and none of them outside of the folder that has it."""

import ast
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
from kafka import TopicPartition
from kafka.errors import (
    CoordinatorLoadInProgressError,
    CoordinatorNotAvailableError,
    KafkaConnectionError,
    KafkaError,
    KafkaTimeoutError,
    MessageSizeTooLargeError,
    NotCoordinatorError,
    SaslAuthenticationFailedError,
    TopicAuthorizationFailedError,
    UnknownBrokerIdError,
)
from kafka.util import Timer

from runtime.errors import TlsFileError
from streaming.errors import KafkaFailedError, KafkaRefusedError, KafkaUnavailableError
from streaming.kafka import admin
from streaming.kafka.admin import Admin
from streaming.kafka.connection import kafka_options
from streaming.kafka.failures import kafka_errors
from streaming.kafka_settings import KafkaSettings
from tests.support.project import PROJECT

AWAY = "Kafka at 127.0.0.1:9092 cannot be used: is Kafka away?"
CLIENTS = {"KafkaConsumer", "KafkaProducer", "KafkaAdminClient"}


@pytest.mark.parametrize(
    ("raised", "kind", "words"),
    [
        (KafkaTimeoutError("30 s"), KafkaUnavailableError, f"{AWAY} (KafkaTimeoutError: 30 s)"),
        (KafkaConnectionError("111"), KafkaUnavailableError, f"{AWAY} (KafkaConnectionError: 111)"),
        (ConnectionResetError(104, "reset"), KafkaUnavailableError, AWAY),
        (UnknownBrokerIdError(7), KafkaUnavailableError, AWAY),
        (SaslAuthenticationFailedError("no"), KafkaUnavailableError, "cannot be used: [Error 58]"),
        (TopicAuthorizationFailedError("t"), KafkaUnavailableError, "cannot be used: [Error 29]"),
        (MessageSizeTooLargeError("2 MB"), KafkaRefusedError, "Kafka refuses: [Error 10] "),
        (KafkaError("what"), KafkaRefusedError, "Kafka refuses: KafkaError: what"),
    ],
)
def test_an_error_of_the_client_becomes_one_of_ours(raised: Exception, kind: type[Exception], words: str) -> None:
    with pytest.raises(KafkaFailedError) as caught, kafka_errors(KafkaSettings()):
        raise raised
    assert type(caught.value) is kind
    assert words in str(caught.value)
    assert caught.value.__cause__ is raised


def test_what_the_client_stumbles_over_itself_is_an_error_of_the_client() -> None:
    with pytest.raises(KafkaUnavailableError, match="is Kafka away"), kafka_errors(KafkaSettings()):
        Timer("no number")  # a TypeError


@pytest.mark.parametrize("mistake", [TypeError("ours"), KafkaUnavailableError("here"), KeyError("x")])
def test_our_own_mistakes_and_errors_stay_what_they_are(mistake: Exception) -> None:
    with pytest.raises(type(mistake)) as caught, kafka_errors(KafkaSettings()):
        raise mistake
    assert caught.value is mistake


def test_nobody_else_in_streaming_makes_a_client_or_knows_its_errors() -> None:
    found = []
    for path in sorted((PROJECT / "streaming").rglob("*.py")):
        if path.is_relative_to(PROJECT / "streaming" / "kafka"):
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            module = node.module if isinstance(node, ast.ImportFrom) else ""
            called = node.func.id if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) else ""
            if module == "kafka.errors" or called in CLIENTS:
                found.append(f"{path.relative_to(PROJECT)}:{node.lineno}")  # type: ignore[attr-defined]
    assert found == []


def coming_up(*errors: Exception) -> tuple[list[Exception], Callable[[object], str]]:
    """Errors that a broker still has to answer with, and a call that it answers so."""
    left = list(errors)

    def call(_: object) -> str:
        if left:
            raise left.pop(0)
        return "the answer"

    return left, call


@pytest.fixture
def patient() -> Admin:
    cluster = SimpleNamespace(_coordinators={("GROUP", "g"): 1})
    return Admin(KafkaSettings(), SimpleNamespace(_manager=SimpleNamespace(cluster=cluster)))


def test_a_call_to_a_broker_that_is_coming_up_is_made_again_whatever_passes(patient: Admin) -> None:
    left, call = coming_up(
        CoordinatorNotAvailableError(), CoordinatorLoadInProgressError(), NotCoordinatorError(), KafkaTimeoutError()
    )
    assert patient.ask(call) == "the answer"
    assert left == []
    assert patient._client._manager.cluster._coordinators == {}, "it would go on asking the same broker"


def test_what_does_not_pass_is_not_asked_for_again(patient: Admin) -> None:
    left, call = coming_up(TopicAuthorizationFailedError(), KafkaTimeoutError())
    with pytest.raises(KafkaUnavailableError):
        patient.ask(call)
    assert len(left) == 1


def test_asking_again_has_an_end(patient: Admin, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(admin, "LIMIT_SECONDS", 0.0)
    _, call = coming_up(*(NotCoordinatorError() for _ in range(9)))
    with pytest.raises(KafkaUnavailableError, match="is Kafka away"):
        patient.ask(call)


def test_a_partition_that_is_not_reset_is_an_error_though_the_client_raises_none(
    patient: Admin, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = iter([NotCoordinatorError, KafkaError])
    partition = TopicPartition("t", 0)
    errno = {NotCoordinatorError: NotCoordinatorError.errno, KafkaError: 0}
    patient._client.reset_group_offsets = lambda *_: {
        partition: {"error": SimpleNamespace(errno=errno[next(answers)]), "offset": 5}
    }
    patient.begin_at_end("g", [partition])
    assert next(answers, None) is None, "it was not asked again"


def test_a_file_without_a_certificate_is_named(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("no certificate")
    settings = KafkaSettings(kafka_security_protocol="SSL", kafka_ssl_ca_file=tmp_path / "ca.pem")
    with pytest.raises(TlsFileError, match=r"^KAFKA_SSL_CA_FILE \(/.*/ca.pem\) holds no certificate \(PEM\)$"):
        kafka_options(settings)
