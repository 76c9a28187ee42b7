"""What the errors of Kafka's client mean to us: the one map, used wherever `streaming/kafka` calls the client.

KafkaUnavailableError   it asked again for as long as it was told to, or is refused altogether
KafkaRefusedError       this one request was refused
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from traceback import walk_tb

import kafka
from kafka.errors import (
    AuthorizationError,
    BrokerNotAvailableError,
    KafkaError,
    RetriableError,
    SaslAuthenticationFailedError,
    UnknownBrokerIdError,
)

from streaming.errors import KafkaFailedError, KafkaRefusedError, KafkaUnavailableError
from streaming.kafka.connection import unavailable
from streaming.kafka_settings import KafkaSettings

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


@contextmanager
def opening(settings: KafkaSettings) -> Iterator[None]:
    """As `kafka_errors`, where a client is made: the brokers are looked at once more to say why that failed."""
    try:
        yield
    except Exception as error:
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
