"""Each table's columns are those of its migrations, and its record has a field for each."""

from typing import Any

import psycopg
import pytest

from connectors.postgres.tables import (
    AUDIT_MINUTE,
    FEED_STATUS,
    ORDERBOOK_MINUTE,
    TAKER_VOLUME,
    TICKER_LATEST,
    Table,
)

# What a column may have been declared as, by what is sent for it.
MAY_BE = {
    "numeric": {"numeric"},
    "bigint": {"bigint", "integer", "smallint", "timestamp with time zone"},
    "integer": {"integer", "bigint"},
    "smallint": {"smallint"},
    "boolean": {"boolean"},
    "text": {"text", "ARRAY"},
    None: {"text"},
}
# Made by the database itself.
OWN = {"created_at", "updated_at"}


@pytest.mark.parametrize(
    "table",
    [TAKER_VOLUME, ORDERBOOK_MINUTE, TICKER_LATEST, AUDIT_MINUTE, FEED_STATUS],
    ids=lambda table: table.name,
)
def test_columns_are_those_of_the_migrations(dsn: str, table: Table[Any]) -> None:
    with psycopg.connect(dsn) as connection:
        found: dict[str, str] = dict(
            connection.execute(
                "SELECT column_name, data_type FROM information_schema.columns "
                "WHERE table_name = %s AND is_generated = 'NEVER'",
                [table.name],
            ).fetchall()
        )
    written = {column.name: column.type for column in table.columns}
    assert found.keys() - written.keys() <= OWN
    for name, sent in written.items():
        assert found[name] in MAY_BE[sent], f"{name} is sent as {sent}"
