"""`marketflow restore`: the rows of a lost database back from the archive.

Records of taker volumes have every figure of their row, and so have tickers; the table keeps the
newest state of each key, so that nothing can be restored too often or in a wrong order. Minutes
of order books are not archived: the dataflow makes them from the raw topics.
"""

from collections.abc import Callable, Iterator
from datetime import datetime
from typing import TYPE_CHECKING, Generic, NamedTuple

import click

from connectors.archive.client import make_client
from connectors.archive.objects import HOUR_FORMAT, hours, read_hour
from connectors.postgres.tables import TAKER_VOLUME, TICKER_LATEST, R, Table
from connectors.postgres.writer import TableWriter
from connectors.process.environment import Environment, load_settings
from schemas.errors import DecodeError
from schemas.processed import decode_taker_volume, decode_ticker
from schemas.settings import Settings

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client


class _Span(NamedTuple):
    """The hours to restore."""

    since: datetime | None
    until: datetime | None


class _Restored(NamedTuple, Generic[R]):
    """What of the archive becomes rows of which table."""

    table: Table[R]
    topics: list[str]
    decode: Callable[[bytes, Settings], R]


@click.command()
@click.option("--since", type=click.DateTime([HOUR_FORMAT]), help="The first hour, UTC.")
@click.option("--until", type=click.DateTime([HOUR_FORMAT]), help="The hour after the last.")
def restore(since: datetime | None, until: datetime | None) -> None:
    """Put archived taker volumes and tickers back into PostgreSQL.

    A row that is there and newer stays. Minutes of order books come from the raw topics.
    """
    environment = Environment.read()
    settings = load_settings(environment)
    regions = settings.regions.values()
    volumes = [region.processed.taker_volume for region in regions]
    tickers = [region.processed.ticker for region in regions]
    span = _Span(since, until)
    _restore(environment, settings, _Restored(TAKER_VOLUME, volumes, decode_taker_volume), span)
    _restore(environment, settings, _Restored(TICKER_LATEST, tickers, decode_ticker), span)


def _restore(environment: Environment, settings: Settings, what: _Restored[R], span: _Span) -> None:
    client, bucket = make_client(environment), environment.s3_bucket
    writer = TableWriter(environment.require_postgres(), settings.postgres, what.table)
    records = unreadable = 0
    try:
        for topic in what.topics:
            for line in _lines(client, bucket, topic, span):
                records += 1
                try:
                    writer.put([what.decode(line, settings)])
                except DecodeError as error:
                    unreadable += 1
                    click.echo(f"{topic}: left out: {error}", err=True)
        writer.flush(settings.postgres.flush_timeout_ms / 1_000)
    finally:
        writer.close()
    left_out = f", {unreadable:,} of them left out" if unreadable else ""
    click.echo(f"{records:>10,}  records read into {what.table.name}{left_out}")


def _lines(client: "S3Client", bucket: str, topic: str, span: _Span) -> Iterator[bytes]:
    for _, keys in hours(client, bucket, topic, since=span.since, until=span.until):
        yield from (record.line for record in read_hour(client, bucket, keys))
