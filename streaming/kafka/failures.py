"""What the errors of Kafka's client mean to us: the one map, used wherever `streaming/kafka` calls the client.

KafkaUnavailableError   it asked again for as long as it was told to, or is refused altogether
KafkaRefusedError       this one request was refused
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from traceback import walk_tb
from typing import Any, TypeVar

import kafka
from kafka.errors import (
    AuthorizationError,
    BrokerNotAvailableError,
    KafkaError,
    RetriableError,
    SaslAuthenticationFailedError,
    UnknownBrokerIdError,
)
from kafka.net.compat import KafkaNetClient

from streaming.errors import KafkaFailedError, KafkaRefusedError, KafkaUnavailableError
from streaming.kafka.connection import kafka_options, unavailable
from streaming.kafka_settings import KafkaSettings

Client = TypeVar("Client")

_OPEN_MS = 10_000
_CLIENT = Path(kafka.__file__).parent
_PASSING = (RetriableError, BrokerNotAvailableError, UnknownBrokerIdError, OSError)
_WHOLLY_REFUSED = (AuthorizationError, SaslAuthenticationFailedError)


@contextmanager
def kafka_errors(settings: KafkaSettings) -> Iterator[None]:
    """Whatever the client, or the socket under it, raises inside the block is a KafkaFailedError."""
    try:
        yield
    except Exception as error:
        failure = failure_of(settings, error)
        if failure is None:
            raise
        raise failure from error


def open_client(settings: KafkaSettings, kind: Callable[..., Client], **options: Any) -> Client:
    """A KafkaConsumer, KafkaProducer or KafkaAdminClient, with more of its options.

    Raises KafkaUnavailableError, and has nothing left open: kafka-python 3.0.12 would leave a thread and its sockets,
    more with each try.
    """
    made: list[KafkaNetClient] = []

    def net_client(**configs: Any) -> KafkaNetClient:
        made.append(KafkaNetClient(**configs))
        return made[-1]

    try:
        configs = {"bootstrap_timeout_ms": _OPEN_MS, **kafka_options(settings), **options}
        return kind(**configs, kafka_client=net_client)
    except Exception as error:
        for each in made:
            each.close()
        if failure_of(settings, error) is None:
            raise
        raise unavailable(settings) from error


def failure_of(settings: KafkaSettings, error: Exception) -> KafkaFailedError | None:
    """What an error is to us; None if it is none of the client's, but ours already or a mistake of our own."""
    if is_passing(error):
        return KafkaUnavailableError(settings.kafka_bootstrap_servers, f"is Kafka away? ({_words(error)})")
    if isinstance(error, _WHOLLY_REFUSED):
        return KafkaUnavailableError(settings.kafka_bootstrap_servers, str(error))
    return KafkaRefusedError(error) if isinstance(error, KafkaError) else None


def is_passing(error: Exception) -> bool:
    """Whether asking again may help."""
    return isinstance(error, _PASSING) or (not isinstance(error, KafkaError) and _is_of_client(error))


def _is_of_client(error: Exception) -> bool:
    """Whether it was raised by the client's own code, which has other errors than its own in places.

    kafka-python 3.0.12 raises RuntimeError while a cluster has no controller yet, TypeError where it has no answer.
    """
    frames = [frame for frame, _ in walk_tb(error.__traceback__)]
    return bool(frames) and Path(frames[-1].f_code.co_filename).is_relative_to(_CLIENT)


def _words(error: Exception) -> str:
    return str(error) if isinstance(error, KafkaError) else repr(error)
