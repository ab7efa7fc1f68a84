"""``marketflow init``: topics, tables, exchanges and the bucket, made where they are missing."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Final

import click
import psycopg
from psycopg import sql

from connectors.archive.client import ensure_bucket, make_client
from connectors.kafka.topics import ensure_topics
from connectors.postgres.connection import Connection, connect, describe, is_transient
from connectors.postgres.migrate import migrate
from connectors.postgres.tables import BY_MONTH
from connectors.process.clock import now_ns
from connectors.process.environment import Environment, load_settings
from schemas.errors import SettingsError, UnavailableError
from schemas.exchanges import EXCHANGES
from schemas.settings import Settings

_MONTHS_AHEAD: Final = 2
_DAYS_A_MONTH: Final = 31

_UPSERT_EXCHANGE: Final = """
INSERT INTO dim_exch AS stored (exchange_id, code, name, region) VALUES (%s, %s, %s, %s)
ON CONFLICT (exchange_id) DO UPDATE
    SET code = excluded.code, name = excluded.name, region = excluded.region
    WHERE (stored.code, stored.name, stored.region)
        IS DISTINCT FROM (excluded.code, excluded.name, excluded.region)
"""
_CREATE_VIEW: Final = """
CREATE VIEW {} AS
SELECT dim_exch.name AS exchange_name, symbol, minute AS "timestamp",
       taker_buy_volume, taker_sell_volume, created_at
FROM taker_volume JOIN dim_exch USING (exchange_id)
WHERE exchange_id = {}
"""


@click.command()
@click.option("--no-bucket", is_flag=True, help="Leave the object store alone, for now.")
def init(*, no_bucket: bool) -> None:
    """Make topics, tables and the bucket, where they are missing.

    It may run again, and at the same time as another one.
    """
    environment = Environment.read()
    for line in initialize(environment, load_settings(environment), with_bucket=not no_bucket):
        click.echo(line)


def initialize(
    environment: Environment, settings: Settings, *, with_bucket: bool = True
) -> Iterator[str]:
    """Do what is missing, and say each thing when it is done.

    Raises:
        SettingsError: Something is there and is not what it should be, or is refused.
        SchemaTooNewError: A newer release migrated the database.
        UnavailableError: A server cannot be reached.
    """
    yield from _topics(environment, settings)
    yield from _tables(environment.require_postgres(), settings)
    if not with_bucket:
        yield "bucket: skipped, as --no-bucket says"
    elif environment.s3_endpoint_url is None:
        yield "bucket: skipped, S3_ENDPOINT_URL is not set"
    else:
        was_created = ensure_bucket(make_client(environment), environment.s3_bucket)
        yield f"bucket {environment.s3_bucket}: {'created' if was_created else 'present'}"


def _topics(environment: Environment, settings: Settings) -> Iterator[str]:
    report = ensure_topics(environment.require_kafka(), settings)
    yield f"topics: {len(report.created)} created, {len(report.present)} present"
    yield from report.notes


def _tables(dsn: str, settings: Settings) -> Iterator[str]:
    applied = migrate(dsn)
    names = ", ".join(f"{migration.version} {migration.name}" for migration in applied)
    yield f"migrations: {len(applied)} applied{f' ({names})' if names else ', up to date'}"
    try:
        with connect(dsn) as connection:
            changed = _ensure_exchanges(connection, settings)
            yield f"exchanges: {len(settings.exchanges)}, {changed} of them new or changed"
            _ensure_months(connection)
            yield _reader(connection)
    except psycopg.Error as error:
        if is_transient(error):
            raise UnavailableError(f"PostgreSQL: {describe(error)}") from error
        raise SettingsError(f"PostgreSQL: {describe(error)}") from error


def _ensure_exchanges(connection: Connection, settings: Settings) -> int:
    """Write the exchanges of the settings under their stable ids, and the view of each."""
    with connection.transaction():
        # Two first starts at once would both insert, and one of them stumble over `code`.
        connection.execute("SELECT pg_advisory_xact_lock(hashtext('ensure_exchanges'))")
        changed = 0
        for code, of in settings.exchanges.items():
            exchange_id = EXCHANGES[code].id
            row = [exchange_id, code, of.market, of.region]
            changed += connection.execute(_UPSERT_EXCHANGE, row).rowcount
            _ensure_view(connection, exchange_id, f"{code}_taker_volume")
        return changed


def _ensure_view(connection: Connection, exchange_id: int, name: str) -> None:
    """Make the view of an exchange that came after migration 0003, which made the first ten."""
    if connection.execute("SELECT to_regclass(%s)", [name]).fetchone() == (None,):
        view, number = sql.Identifier(name), sql.Literal(exchange_id)
        connection.execute(sql.SQL(_CREATE_VIEW).format(view, number))


def _ensure_months(connection: Connection) -> None:
    now = datetime.fromtimestamp(now_ns() // 1_000_000_000, UTC)
    for ahead in range(_MONTHS_AHEAD + 1):
        moment = now.replace(day=1) + timedelta(days=_DAYS_A_MONTH * ahead)
        for table in BY_MONTH:
            connection.execute("SELECT ensure_month(%s::regclass, %s)", [table, moment])


def _reader(connection: Connection) -> str:
    (is_ready,) = connection.execute("SELECT ensure_reader()").fetchone() or (False,)
    if is_ready:
        return "role marketflow_reader: ready"
    return (
        "role marketflow_reader: not available, the API will read with its own rights; "
        "to have it, an administrator runs CREATE ROLE marketflow_reader NOLOGIN and grants it"
    )
