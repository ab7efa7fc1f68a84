"""The API's way to PostgreSQL: a few connections that can only read, made when first needed."""

import asyncio
from collections.abc import Callable, Mapping
from typing import Any, Final, LiteralString, TypeVar

import psycopg
from psycopg import errors
from psycopg.rows import args_row
from psycopg_pool import AsyncConnectionPool

from schemas.errors import SettingsError, UnavailableError

CONNECTIONS: Final = 4
WAITING_REQUESTS: Final = 200
CONNECT_SECONDS: Final = 2
STATEMENT_SECONDS: Final = 5
ANSWER_SECONDS: Final = CONNECT_SECONDS + STATEMENT_SECONDS + 1

Row = TypeVar("Row")

# By functions, because options in the connection string would replace those of the user's own.
# The role is taken where migrations could make it; without it the transactions still only read.
_CONFIGURE: Final = """
SELECT set_config('default_transaction_read_only', 'on', false),
       set_config('statement_timeout', %s, false),
       set_config('TimeZone', 'UTC', false),
       set_config('role', coalesce((
           SELECT rolname FROM pg_roles
           WHERE rolname = 'marketflow_reader' AND pg_has_role(oid, 'MEMBER')
       ), 'none'), false)
"""

_NOT_MIGRATED: Final = (
    errors.UndefinedTable,
    errors.UndefinedColumn,
    errors.InvalidSchemaName,
    errors.InsufficientPrivilege,
)


class Database:
    """A small pool of connections that starts and survives without its server."""

    def __init__(self, dsn: str) -> None:
        _check(dsn)
        self._pool = AsyncConnectionPool(
            dsn,
            open=False,
            min_size=1,
            max_size=CONNECTIONS,
            max_waiting=WAITING_REQUESTS,
            timeout=CONNECT_SECONDS,
            # After it, the next request tries at once: a long back-off would outlive the outage.
            reconnect_timeout=2 * CONNECT_SECONDS,
            configure=_configure,
            # A restarted server has closed the connections that wait here.
            check=AsyncConnectionPool.check_connection,
            kwargs={
                "autocommit": True,
                "connect_timeout": CONNECT_SECONDS,
                "fallback_application_name": "marketflow-api",
            },
        )

    async def open(self) -> None:
        """Starts to connect, and does not wait for it."""
        await self._pool.open(wait=False)

    async def close(self) -> None:
        """Ends all connections."""
        await self._pool.close()

    async def fetch(
        self,
        query: LiteralString,
        parameters: Mapping[str, Any],
        row: Callable[..., Row],
        *,
        deadline_seconds: float = ANSWER_SECONDS,
    ) -> list[Row]:
        """Runs a query and makes a `row` of the columns of each of its rows.

        Raises:
            UnavailableError: The database is down, overloaded or not migrated.
        """
        try:
            # The server's own timeout does not help when the network swallows its answer.
            async with (
                asyncio.timeout(deadline_seconds),
                self._pool.connection() as connection,
                connection.cursor(row_factory=args_row(row)) as cursor,
            ):
                await cursor.execute(query, parameters)
                return await cursor.fetchall()
        except _NOT_MIGRATED as error:
            raise UnavailableError(
                "the database does not have the tables of this release, or they may not be "
                "read: run `marketflow init`"
            ) from error
        except errors.QueryCanceled as error:
            raise UnavailableError(
                f"the database did not answer within {STATEMENT_SECONDS} s"
            ) from error
        except (psycopg.OperationalError, TimeoutError) as error:
            raise UnavailableError("the database cannot be reached") from error


async def _configure(connection: psycopg.AsyncConnection) -> None:
    await connection.execute(_CONFIGURE, (str(STATEMENT_SECONDS * 1_000),))


def _check(dsn: str) -> None:
    try:
        psycopg.conninfo.conninfo_to_dict(dsn)
    except psycopg.ProgrammingError:
        # libpq's message repeats what it could not read, which may be the password.
        raise SettingsError(
            "POSTGRES_DSN cannot be read: expected postgresql://user:password@host:port/database, "
            "with special characters percent-encoded"
        ) from None
