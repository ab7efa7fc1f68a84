"""The API's way to PostgreSQL: a few connections that can only read, made when first needed."""

import asyncio
from collections.abc import Callable, Mapping
from typing import Any, Final, LiteralString, TypeVar

import psycopg
from psycopg import errors
from psycopg.rows import args_row
from psycopg_pool import AsyncConnectionPool, PoolTimeout, TooManyRequests

from connectors.postgres.connection import options_of
from schemas.errors import BusyError, UnavailableError

CONNECTIONS: Final = 6
WIDE_CONNECTIONS: Final = 3
"""Of their own, so that slow questions leave the others theirs."""
WAITING_REQUESTS: Final = 200
CONNECT_SECONDS: Final = 2
WAIT_SECONDS: Final = 3
"""How long a request waits for a connection."""
STATEMENT_SECONDS: Final = 5
ANSWER_SECONDS: Final = WAIT_SECONDS + STATEMENT_SECONDS

Row = TypeVar("Row")

# By functions, because options in the connection string would replace those of the user's own.
# The role is taken where migrations could make it; without it the transactions still only read.
CONFIGURE: Final[LiteralString] = """
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
_CANNOT_BE_REACHED: Final = "the database cannot be reached"


class Database:
    """Small pools of connections that start and survive without their server.

    The pools are three, so that slow questions cannot keep quick ones or the health check from
    a connection.
    """

    def __init__(self, dsn: str) -> None:
        options_of(dsn)
        self.dsn = dsn
        self._quick = _Pool(dsn, CONNECTIONS)
        self._wide = _Pool(dsn, WIDE_CONNECTIONS)
        self._health = _Pool(dsn, 1)
        self._abandoned: set[asyncio.Future[Any]] = set()

    async def open(self) -> None:
        """Start to connect, and do not wait for it."""
        for pool in (self._quick, self._wide, self._health):
            await pool.open()

    async def close(self) -> None:
        """End all connections."""
        for pool in (self._quick, self._wide, self._health):
            await pool.close()

    async def fetch(
        self,
        query: LiteralString,
        parameters: Mapping[str, Any],
        row: Callable[..., Row],
        *,
        is_wide: bool = False,
        is_health: bool = False,
        keeps_plan: bool = True,
        deadline_seconds: float = ANSWER_SECONDS,
    ) -> list[Row]:
        """Run a query and make a `row` of the columns of each of its rows.

        Args:
            query: The SQL.
            parameters: Its values.
            row: Takes the columns of a row.
            is_wide: It may read much, and must not keep others waiting.
            is_health: It asks whether the database is well.
            keeps_plan: The plan of one set of values is good for all others.
            deadline_seconds: When to give up, whatever the server does.

        Raises:
            BusyError: All connections are in use, or the query takes too long.
            UnavailableError: The database is down or not migrated.
        """
        pool = self._health if is_health else self._wide if is_wide else self._quick
        fetching = asyncio.ensure_future(pool.fetch(query, parameters, row, keeps_plan=keeps_plan))
        try:
            # The server's own timeout does not help when the network swallows its answer, and to
            # cancel waits for the server as well: that is left to the task.
            return await asyncio.wait_for(asyncio.shield(fetching), deadline_seconds)
        except _NOT_MIGRATED as error:
            raise UnavailableError(
                "the database does not have the tables of this release, or they may not be "
                "read: run `marketflow init`"
            ) from error
        except errors.QueryCanceled as error:
            raise BusyError(
                f"the database did not answer within {STATEMENT_SECONDS} s: ask for less, "
                "or try again later"
            ) from error
        except (PoolTimeout, TooManyRequests) as error:
            raise pool.without_connection() from error
        except psycopg.OperationalError as error:
            raise UnavailableError(_CANNOT_BE_REACHED) from error
        except TimeoutError as error:
            raise pool.without_answer(deadline_seconds) from error
        finally:
            if not fetching.done():
                fetching.cancel()
                self._abandoned.add(fetching)
                fetching.add_done_callback(self._abandoned.discard)


class _Pool:
    """A few connections, and how many of them are in use."""

    def __init__(self, dsn: str, connections: int) -> None:
        self._in_use = 0
        self._pool = AsyncConnectionPool(
            dsn,
            open=False,
            min_size=1,
            max_size=connections,
            max_waiting=WAITING_REQUESTS,
            timeout=WAIT_SECONDS,
            # After it, the next request tries at once: a long back-off would outlive the outage.
            reconnect_timeout=2 * CONNECT_SECONDS,
            configure=_configure,
            kwargs={
                "autocommit": True,
                "connect_timeout": CONNECT_SECONDS,
                "fallback_application_name": "marketflow-api",
            },
        )

    async def open(self) -> None:
        await self._pool.open(wait=False)

    async def close(self) -> None:
        await self._pool.close()

    async def fetch(
        self,
        query: LiteralString,
        parameters: Mapping[str, Any],
        row: Callable[..., Row],
        *,
        keeps_plan: bool,
    ) -> list[Row]:
        """Run a query, a second time where its connection had ended while it waited.

        To check each connection before it is used would cost every request a round trip.
        """
        try:
            return await self._fetch(query, parameters, row, keeps_plan=keeps_plan)
        except _EndedError:
            await self._pool.check()
            return await self._fetch(query, parameters, row, keeps_plan=keeps_plan)

    async def _fetch(
        self,
        query: LiteralString,
        parameters: Mapping[str, Any],
        row: Callable[..., Row],
        *,
        keeps_plan: bool,
    ) -> list[Row]:
        async with self._pool.connection() as connection:
            self._in_use += 1
            try:
                async with connection.cursor(row_factory=args_row(row)) as cursor:
                    # Prepared, a statement is planned for no range in particular after a while:
                    # joins of its rows are then nested loops, 10 times as slow for a day.
                    prepare = None if keeps_plan else False
                    await cursor.execute(query, parameters, prepare=prepare)
                    return await cursor.fetchall()
            except psycopg.OperationalError as error:
                if connection.broken:
                    raise _EndedError(*error.args) from error
                raise
            finally:
                self._in_use -= 1

    def without_connection(self) -> UnavailableError:
        """Return why there was no connection: others use them, or none can be made."""
        if self._in_use:
            return BusyError("the server is busy with other questions: try again later")
        return UnavailableError(_CANNOT_BE_REACHED)

    def without_answer(self, seconds: float) -> UnavailableError:
        """Return why there was no answer in time."""
        if self._in_use == 0:
            return UnavailableError(_CANNOT_BE_REACHED)
        return UnavailableError(f"the database did not answer within {seconds:g} s")


class _EndedError(psycopg.OperationalError):
    """The connection ended before the query was answered."""


async def _configure(connection: psycopg.AsyncConnection) -> None:
    await connection.execute(CONFIGURE, (str(STATEMENT_SECONDS * 1_000),))
