"""Clients of Kafka, and what keeps them from a broker as a sentence that says what to do."""

import re
from collections.abc import Callable, Mapping
from typing import Any, Final, TypeVar

from confluent_kafka import KafkaError, KafkaException

from schemas.errors import SettingsError, UnavailableError

C = TypeVar("C")

_UNKNOWN_OPTION: Final = re.compile(r'No such configuration property: "([^"]+)"')
_OPTION: Final = re.compile(r"[a-z]+(?:\.[a-z0-9]+)+")
_TLS_HINT: Final = "is KAFKA_SECURITY_PROTOCOL the broker's, and KAFKA_SSL_CA_LOCATION its CA?"
_LOGIN_HINT: Final = "are KAFKA_SASL_USERNAME, KAFKA_SASL_PASSWORD and KAFKA_SASL_MECHANISM right?"
_BROKER_HINT: Final = "is it running (`make up`), and does KAFKA_BOOTSTRAP_SERVERS name it?"


def make_client(kind: Callable[[dict[str, Any]], C], config: Mapping[str, Any]) -> C:
    """Return a client; the configuration is refused in the words of the environment.

    Raises:
        SettingsError: An option is not known, or its value is not usable.
    """
    try:
        return kind(dict(config))
    except KafkaException as error:
        raise SettingsError(_refusal(error.args[0].str(), config)) from error


class ConnectionErrors:
    """What a client heard last of its connections; its `note` is the client's `error_cb`."""

    def __init__(self, servers: object) -> None:
        self._servers = servers
        self._last: KafkaError | None = None

    def note(self, error: KafkaError) -> None:
        """Keep an error of a connection."""
        # "All brokers are down" follows the reason and says less.
        if error.code() != KafkaError._ALL_BROKERS_DOWN:  # noqa: SLF001  # the client's own name
            self._last = error

    def unavailable(self, error: KafkaError) -> UnavailableError:
        """Return why a broker does not answer: what was heard, else what the request says."""
        cause = self._last or error
        hints = {
            KafkaError._AUTHENTICATION: _LOGIN_HINT,  # noqa: SLF001  # the client's own names
            KafkaError.SASL_AUTHENTICATION_FAILED: _LOGIN_HINT,
            KafkaError._SSL: _TLS_HINT,  # noqa: SLF001  # the client's own name
        }
        reason = f"{cause.str()}; {hints.get(cause.code(), _BROKER_HINT)}"
        return UnavailableError(f"Kafka at {self._servers} cannot be reached: {reason}")


def _refusal(reason: str, config: Mapping[str, Any]) -> str:
    unknown = _UNKNOWN_OPTION.search(reason)
    if unknown is not None:
        return (
            f"{_variable(unknown[1])}: librdkafka has no option {unknown[1]}; correct the name, or "
            "unset the variable where it is of another program (a broker, a Kubernetes service)"
        )
    named = next((name for name in _OPTION.findall(reason) if name in config), None)
    return f"{_variable(named) if named else 'KAFKA_*'}: {reason}"


def _variable(option: str) -> str:
    return f"KAFKA_{option.upper().replace('.', '_')}"
