"""Do the servers answer? Questions with short time limits, which `status` and `doctor` share."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final, Literal

from connectors.process.clock import now_ns
from schemas.errors import SettingsError
from schemas.times import NS_PER_SECOND

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mypy_boto3_s3 import S3Client

    from connectors.process.environment import Environment

TIMEOUT_SECONDS: Final = 2.0

Name = Literal["kafka", "postgres", "minio"]


def address(name: Name, environment: Environment) -> str | None:
    """Give where a server is, for people: without its password; None when nothing names it."""
    if name == "kafka":
        return environment.kafka.get("bootstrap.servers")
    if name == "minio":
        return environment.s3_endpoint_url
    return _address_of_dsn(environment.postgres_dsn) if environment.postgres_dsn else None


def failure(name: Name, environment: Environment) -> str | None:
    """Say in one line why a named server cannot be used; None when it can."""
    if name == "kafka":
        return kafka_failure(environment.require_kafka(), TIMEOUT_SECONDS)
    if name == "minio":
        return _s3_failure(environment)
    reason = postgres_failure(environment.require_postgres(), int(TIMEOUT_SECONDS))
    return " ".join(reason.split()) if reason else None


def kafka_failure(config: Mapping[str, str], timeout_seconds: float = 2.0) -> str | None:
    """Say why no broker answers a metadata request in time; None when one does.

    Args:
        config: librdkafka's options, `bootstrap.servers` among them.
        timeout_seconds: How long to wait.
    """
    from confluent_kafka import KafkaException  # noqa: PLC0415  # few processes need it, and it is slow to import
    from confluent_kafka.admin import AdminClient  # noqa: PLC0415  # few processes need it, and it is slow to import

    reasons: list[str] = []
    options: dict[str, Any] = {
        **config,
        # Its own log would repeat the reasons on the terminal, without end.
        "log_level": 0,
        "error_cb": lambda error: reasons.append(error.str()),
    }
    try:
        client = AdminClient(options)
    except KafkaException as exception:
        return str(exception.args[0].str())
    try:
        brokers = client.list_topics(timeout=timeout_seconds).brokers
    except KafkaException as exception:
        client.poll(0)
        return reasons[0] if reasons else str(exception.args[0].str())
    return None if brokers else "it knows no broker yet"


def postgres_failure(dsn: str, timeout_seconds: int = 2) -> str | None:
    """Say why a server there does not answer a query in time; None when it does."""
    import psycopg  # noqa: PLC0415  # few processes need it, and it is slow to import

    from connectors.postgres.connection import options_of  # noqa: PLC0415  # few processes need it, and it is slow to import

    try:
        options_of(dsn)
        with psycopg.connect(dsn, connect_timeout=timeout_seconds) as connection:
            connection.execute("SELECT 1")
    except (psycopg.Error, SettingsError) as error:
        return str(error)
    return None


def s3_client(environment: Environment) -> S3Client:
    """Give a client that asks once and does not wait long."""
    import boto3  # noqa: PLC0415  # few processes need it, and it is slow to import
    from botocore.config import Config  # noqa: PLC0415  # few processes need it, and it is slow to import

    client: S3Client = boto3.client(
        "s3",
        endpoint_url=environment.require_s3(),
        aws_access_key_id=environment.aws_access_key_id,
        aws_secret_access_key=environment.aws_secret_access_key,
        region_name=environment.aws_region,
        config=Config(
            connect_timeout=TIMEOUT_SECONDS,
            read_timeout=TIMEOUT_SECONDS,
            retries={"total_max_attempts": 1},
            s3={"addressing_style": "path"},
        ),
    )
    return client


def _s3_failure(environment: Environment) -> str | None:
    from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415  # few processes need it, and it is slow to import

    try:
        # Not a list of all buckets: a key may be limited to this one.
        s3_client(environment).head_bucket(Bucket=environment.s3_bucket)
    except ClientError as error:
        if error.response.get("ResponseMetadata", {}).get("HTTPStatusCode") == HTTPStatus.NOT_FOUND:
            return f"there is no bucket {environment.s3_bucket}: run `marketflow init`"
        return str(error)
    except (BotoCoreError, ValueError) as error:
        return str(error)
    return None


def _address_of_dsn(dsn: str) -> str:
    from connectors.postgres.connection import options_of  # noqa: PLC0415  # few processes need it, and it is slow to import

    try:
        parts = options_of(dsn)
    except SettingsError:
        return "(POSTGRES_DSN is malformed)"
    host, port = parts.get("host") or "local socket", parts.get("port") or 5432
    return f"{host}:{port}/{parts.get('dbname', '')}"


def age(started_at: float) -> str:
    """Give how long ago something started, in its largest unit."""
    seconds = max(0, now_ns() // NS_PER_SECOND - int(started_at))
    for unit, length in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= length:
            return f"{seconds // length} {unit}"
    return f"{seconds} s"
