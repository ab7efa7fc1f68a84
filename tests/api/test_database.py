import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

import psycopg
import pytest

from api.database import Database
from connectors.postgres.migrate import migrate
from schemas.errors import SettingsError, UnavailableError

Result = TypeVar("Result")


def on(dsn: str, use: Callable[[Database], Awaitable[Result]]) -> Result:
    async def run() -> Result:
        database = Database(dsn)
        await database.open()
        try:
            return await use(database)
        finally:
            await database.close()

    return asyncio.run(run())


def test_it_takes_the_role_that_can_only_read(postgres_dsn: str) -> None:
    migrate(postgres_dsn)
    query = """
        SELECT current_user::text, current_setting('transaction_read_only'),
               current_setting('statement_timeout'), current_setting('TimeZone')
    """
    rows = on(postgres_dsn, lambda database: database.fetch(query, {}, lambda *row: row))
    assert rows == [("marketflow_reader", "on", "5s", "UTC")]


def test_it_cannot_write(postgres_dsn: str) -> None:
    migrate(postgres_dsn)
    with pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
        on(postgres_dsn, lambda database: database.fetch("CREATE TABLE x ()", {}, tuple))


def test_connections_that_the_server_ended_are_replaced(postgres_dsn: str) -> None:
    async def before_and_after(database: Database) -> list[int]:
        query = "SELECT pg_backend_pid()"
        (first,) = await database.fetch(query, {}, int)
        with psycopg.connect(postgres_dsn) as connection:
            connection.execute("SELECT pg_terminate_backend(%s)", [first])
        (second,) = await database.fetch(query, {}, int)
        return [first, second]

    first, second = on(postgres_dsn, before_and_after)
    assert first != second


def test_a_query_has_a_deadline(postgres_dsn: str) -> None:
    async def wait(database: Database) -> None:
        await database.fetch("SELECT 1 FROM pg_sleep(60)", {}, int, deadline_seconds=0.3)

    with pytest.raises(UnavailableError, match=r"did not answer within 0\.3 s"):
        on(postgres_dsn, wait)


def test_more_requests_than_connections_are_all_answered(postgres_dsn: str) -> None:
    async def many(database: Database) -> list[list[int]]:
        fetch = database.fetch
        return await asyncio.gather(*[fetch("SELECT 7", {}, int) for _ in range(100)])

    assert on(postgres_dsn, many) == [[7]] * 100


def test_a_malformed_dsn_is_refused_without_repeating_it() -> None:
    with pytest.raises(SettingsError, match="POSTGRES_DSN") as caught:
        Database("postgresql://user:hunter2@host:port%zz/db")
    assert "hunter2" not in str(caught.value)
    assert caught.value.__cause__ is None
