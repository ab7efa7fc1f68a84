"""`marketflow replay --from s3`: archived records back into a topic, in the order of their log."""

from collections.abc import Iterator
from datetime import datetime
from typing import TYPE_CHECKING

import click
import msgspec

from connectors.archive.client import make_client
from connectors.archive.objects import hours, read_hour
from connectors.kafka.sink import CheckedProducer, OutRecord
from connectors.process.environment import Environment
from schemas.archive import ArchivedRecord
from schemas.errors import SettingsError
from schemas.settings import Settings

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

BATCH = 1_000


class _Symbol(msgspec.Struct):
    symbol: str = ""


_symbol = msgspec.json.Decoder(_Symbol)


def replay_archive(
    environment: Environment,
    settings: Settings,
    topic: str,
    to_topic: str | None,
    since: datetime | None,
    until: datetime | None,
) -> None:
    """Put what the archive has of a topic, by whole hours, into a topic.

    Raises:
        SettingsError: There is nothing of it.
    """
    client, bucket = make_client(environment), environment.s3_bucket
    producer = CheckedProducer(environment.require_kafka(), settings.kafka.delivery_timeout_ms)
    batch: list[OutRecord] = []
    count = 0
    for exchange, record in _records(client, bucket, topic, since, until):
        key = f"{exchange}:{_symbol_of(record.line)}".encode()
        batch.append(OutRecord(to_topic or topic, record.partition, key, record.line))
        count += 1
        if len(batch) == BATCH:
            producer.send(batch)
            batch = []
    producer.send(batch)
    producer.flush()
    if not count:
        raise SettingsError(f"--topic {topic}: the archive has nothing of it in this time")
    click.echo(f"{count:>10,}  records of the archive delivered to {to_topic or topic}")


def _records(
    client: "S3Client", bucket: str, topic: str, since: datetime | None, until: datetime | None
) -> Iterator[tuple[str, ArchivedRecord]]:
    found = [
        (record, hour.exchange)
        for hour, keys in hours(client, bucket, topic, since=since, until=until)
        for record in read_hour(client, bucket, keys)
    ]
    for record, exchange in sorted(found):
        yield exchange, record


def _symbol_of(line: bytes) -> str:
    try:
        return _symbol.decode(line).symbol
    except (msgspec.MsgspecError, UnicodeError):
        return ""
