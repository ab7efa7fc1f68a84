import asyncio
import os
import signal
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

import psycopg
import pytest

from api.database import Database
from connectors.postgres.migrate import migrate
from connectors.process.environment import Environment
from connectors.process.probes import address, failure
from schemas.errors import BusyError, SettingsError, UnavailableError

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


@pytest.mark.parametrize(
    "dsn", ["postgresql://user:hunter2@host:port%zz/db", "postgresql://user:hunt@er2@host/db"]
)
def test_a_malformed_dsn_is_refused_without_repeating_it(dsn: str) -> None:
    with pytest.raises(SettingsError, match="POSTGRES_DSN") as caught:
        Database(dsn)
    assert "er2" not in str(caught.value)
    assert caught.value.__cause__ is None


def test_the_part_of_a_password_behind_an_at_sign_is_never_shown() -> None:
    environment = Environment.read({"POSTGRES_DSN": "postgresql://user:hunt@er2@host/db"})
    assert "er2" not in str(address("postgres", environment))
    assert "er2" not in str(failure("postgres", environment))


def test_slow_questions_leave_quick_ones_their_connections(postgres_dsn: str) -> None:
    async def mixed(database: Database) -> tuple[list[int], list[BaseException | list[int]]]:
        slow = "SELECT 1 FROM pg_sleep(3)"
        waiting = [
            asyncio.ensure_future(database.fetch(slow, {}, int, is_wide=True)) for _ in range(4)
        ]
        await asyncio.sleep(0.5)
        quick = await database.fetch("SELECT 7", {}, int, deadline_seconds=2)
        await database.fetch("SELECT 1", {}, int, is_health=True, deadline_seconds=2)
        return quick, await asyncio.gather(*waiting, return_exceptions=True)

    quick, slow = on(postgres_dsn, mixed)
    assert quick == [7]
    refused = [each for each in slow if isinstance(each, BaseException)]
    assert len(refused) == 1
    # Too much to do is not the same as away.
    assert isinstance(refused[0], BusyError)
    assert "busy" in str(refused[0])


def test_a_database_that_hangs_is_answered_for_in_time(postgres_dsn: str) -> None:
    async def frozen(database: Database) -> float:
        await database.fetch("SELECT 1", {}, int)
        # Its sessions only: the server of this run is other tests' as well.
        with psycopg.connect(postgres_dsn) as connection:
            pids = connection.execute(
                "SELECT pid FROM pg_stat_activity WHERE application_name = 'marketflow-api' "
                "AND datname = current_database()"
            ).fetchall()
        for (pid,) in pids:
            os.kill(pid, signal.SIGSTOP)
        began = time.monotonic()
        try:
            with pytest.raises(UnavailableError, match=r"did not answer within 1\.5 s"):
                await database.fetch("SELECT 1", {}, int, deadline_seconds=1.5)
            return time.monotonic() - began
        finally:
            for (pid,) in pids:
                os.kill(pid, signal.SIGCONT)

    assert on(postgres_dsn, frozen) < 8
