"""What keeps a client from its broker, as a sentence that says what to do."""

# ruff: noqa: SLF001  # the client's own names for its codes

import pytest
from confluent_kafka import KafkaError
from confluent_kafka.admin import AdminClient

from connectors.kafka.clients import ConnectionErrors, make_client
from schemas.errors import SettingsError


@pytest.mark.parametrize(
    ("code", "hint"),
    [
        (KafkaError._AUTHENTICATION, "KAFKA_SASL_PASSWORD"),
        (KafkaError._SSL, "KAFKA_SSL_CA_LOCATION its CA"),
        (KafkaError._TRANSPORT, "make up"),
    ],
)
def test_the_cause_of_a_failed_connection_says_what_to_do(code: int, hint: str) -> None:
    errors = ConnectionErrors("host:9092")
    errors.note(KafkaError(code, "why"))
    errors.note(KafkaError(KafkaError._ALL_BROKERS_DOWN, "all down"))
    said = str(errors.unavailable(KafkaError(KafkaError._TIMED_OUT, "slow")))
    assert said.startswith("Kafka at host:9092 cannot be reached: why; ")
    assert hint in said


def test_an_option_of_another_program_is_named_by_its_variable() -> None:
    with pytest.raises(SettingsError, match="KAFKA_JMX_OPTS: librdkafka has no option jmx"):
        make_client(AdminClient, {"bootstrap.servers": "127.0.0.1:1", "jmx.opts": "x"})
