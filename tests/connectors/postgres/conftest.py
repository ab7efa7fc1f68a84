"""A database with the schema and the ten exchanges, as `marketflow init` leaves it."""

import psycopg
import pytest

from connectors.postgres.migrate import migrate
from schemas.exchanges import EXCHANGES


@pytest.fixture
def dsn(postgres_dsn: str) -> str:
    migrate(postgres_dsn)
    add_exchanges(postgres_dsn)
    return postgres_dsn


def add_exchanges(dsn: str) -> None:
    with psycopg.connect(dsn) as connection, connection.cursor() as cursor:
        cursor.executemany(
            "INSERT INTO dim_exch VALUES (%s, %s, %s, 'Asia')",
            [(exchange.id, code, code.title()) for code, exchange in EXCHANGES.items()],
        )
