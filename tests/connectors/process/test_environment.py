from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from connectors.process.environment import Environment, Shard, load_settings
from schemas.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def test_kafka_variables_become_librdkafka_options() -> None:
    environment = Environment.read(
        {
            "KAFKA_BOOTSTRAP_SERVERS": "a:9092,b:9092",
            "KAFKA_SECURITY_PROTOCOL": "SASL_SSL",
            "PATH": "/bin",
        }
    )

    assert environment.require_kafka() == {
        "bootstrap.servers": "a:9092,b:9092",
        "security.protocol": "SASL_SSL",
    }


@pytest.mark.parametrize(
    ("name", "require"),
    [
        ("KAFKA_BOOTSTRAP_SERVERS", Environment.require_kafka),
        ("POSTGRES_DSN", Environment.require_postgres),
        ("S3_ENDPOINT_URL", Environment.require_s3),
    ],
)
@pytest.mark.parametrize("is_empty", [False, True])
def test_missing_server_is_named_with_the_way_to_get_one(
    name: str, require: Callable[[Environment], object], *, is_empty: bool
) -> None:
    environment = Environment.read({name: ""} if is_empty else {})

    with pytest.raises(SettingsError, match=rf"{name} is not set: .*marketflow env"):
        require(environment)


def test_empty_variables_mean_not_set() -> None:
    empty = dict.fromkeys(("SHARD", "STOP_AT_END", "PIPELINE_CONFIG", "S3_BUCKET"), "")

    assert Environment.read(empty) == Environment()


@pytest.mark.parametrize("text", ["0/1", "1/3", "2/3"])
def test_shard_is_read(text: str) -> None:
    index, count = map(int, text.split("/"))

    assert Environment.read({"SHARD": text}).shard == Shard(index, count)


@pytest.mark.parametrize("text", ["1", "1/1", "3/2", "-1/2", "0/0", "a/b", "0/2 ", "1/2/3", "²/3"])
def test_malformed_shard_is_refused(text: str) -> None:
    with pytest.raises(SettingsError, match=r"SHARD is .* must be i/n"):
        Environment.read({"SHARD": text})


def test_every_partition_belongs_to_exactly_one_shard() -> None:
    shards = [Shard(index, 3) for index in range(3)]

    owners = [sum(shard.owns(partition) for shard in shards) for partition in range(10)]

    assert owners == [1] * 10


@pytest.mark.parametrize(("text", "expected"), [("1", True), ("0", False), ("", False)])
def test_stop_at_end_is_read(text: str, *, expected: bool) -> None:
    assert Environment.read({"STOP_AT_END": text}).stop_at_end is expected


def test_malformed_stop_at_end_is_refused() -> None:
    with pytest.raises(SettingsError, match="STOP_AT_END is 'true', but must be 1 or 0"):
        Environment.read({"STOP_AT_END": "true"})


def test_secrets_are_not_shown() -> None:
    environment = Environment.read(
        {
            "KAFKA_SASL_PASSWORD": "hidden1",
            "POSTGRES_DSN": "postgresql://user:hidden2@host/db",
            "AWS_SECRET_ACCESS_KEY": "hidden3",
        }
    )

    assert "hidden" not in f"{environment!r} {environment}"


def test_settings_come_from_the_checkout_unless_another_file_is_named(tmp_path: Path) -> None:
    own = load_settings(Environment())
    missing = tmp_path / "missing.yaml"

    assert own.regions
    with pytest.raises(SettingsError, match=r"missing\.yaml: No such file"):
        load_settings(Environment(pipeline_config=missing))
