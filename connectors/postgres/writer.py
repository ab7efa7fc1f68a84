"""Writes rows to PostgreSQL behind the dataflow's back: coalesced, batched, retried."""

import logging
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from itertools import islice
from threading import Condition, Thread
from typing import Any, Final, Generic

import psycopg

from connectors.postgres.connection import Connection, connect, describe, is_transient
from connectors.postgres.tables import R, Table
from connectors.process.metrics import ROWS
from schemas.errors import MarketflowError, SettingsError, UndeliveredError
from schemas.settings import PostgresSettings

# Rows that wait, in batches: about 55 MB with 2,000 rows a batch. More would only hide an outage.
PENDING_BATCHES: Final = 20

_BACKOFF_SECONDS: Final = 0.1
_BACKOFF_LIMIT_SECONDS: Final = 5.0
# After a flush there is nothing to wait for; a statement that hangs ends with the process.
_CLOSE_SECONDS: Final = 5.0
_SECONDS_A_DAY: Final = 86_400
# The next month's partition is there a week before its first minute needs it.
_AHEAD: Final = timedelta(days=7)

_log: Final = logging.getLogger("marketflow.postgres")


class TableWriter(Generic[R]):
    """One connection and one thread that write what `put` leaves.

    Of several states of a key that wait, only the newest is written; the database keeps the
    newest, too, so that rows may come again and in any order. While the server is away the
    writer retries, and `put` and `flush` tell after `flush_timeout_ms` that it takes too long.
    """

    def __init__(self, dsn: str, settings: PostgresSettings, table: Table[R]) -> None:
        self._table = table
        self._dsn = dsn
        self._settings = settings
        self._timeout_seconds = settings.flush_timeout_ms / 1_000
        self._changed = Condition()
        # In the order of their tickets: a newer state takes over its predecessor's.
        self._pending: dict[Any, tuple[int, R]] = {}
        self._put_ticket = 0
        self._taken_ticket = 0
        self._written_ticket = 0
        self._failure: MarketflowError | None = None
        self._is_closing = False
        self._outage_since: float | None = None
        self._outage = ""
        self._connection: Connection | None = None
        self._exchange_ids: dict[str, int] = {}
        self._months: set[tuple[int, int]] = set()
        # A daemon: a statement that hangs must not keep a failed process alive.
        self._thread = Thread(target=self._run, name=f"{table.name}-writer", daemon=True)
        self._thread.start()

    def put(self, rows: Sequence[R]) -> None:
        """Leave rows to be written; wait only while too many wait already.

        Raises:
            UndeliveredError: The server did not take any for `flush_timeout_ms`, or refused.
            SettingsError: An exchange or the tables are missing in the database.
        """
        with self._changed:
            for row in rows:
                self._put(row)
            self._changed.notify_all()

    def flush(self, timeout_seconds: float) -> None:
        """Wait until everything that was put before is committed.

        Raises:
            UndeliveredError: It was not in time, or the server refused rows.
            SettingsError: An exchange or the tables are missing in the database.
        """
        with self._changed:
            ticket = self._put_ticket
            self._wait(lambda: self._written_ticket >= ticket, timeout_seconds)

    def close(self) -> None:
        """End the thread and the connection; rows that were not flushed are given up."""
        with self._changed:
            self._is_closing = True
            self._changed.notify_all()
        self._thread.join(_CLOSE_SECONDS)

    def _put(self, row: R) -> None:
        key = self._table.key(row)
        if self._failure is not None or (key not in self._pending and not self._has_room()):
            self._changed.notify_all()
            self._wait(self._has_room, self._timeout_seconds)
        ticket, waiting = self._pending.get(key, (0, None))
        if waiting is None:
            self._put_ticket += 1
            self._pending[key] = (self._put_ticket, row)
        elif self._table.is_newer(row, waiting):
            self._pending[key] = (ticket, row)

    def _has_room(self) -> bool:
        return len(self._pending) < PENDING_BATCHES * self._settings.flush_rows

    def _wait(self, condition: Callable[[], bool], timeout_seconds: float) -> None:
        is_met = self._changed.wait_for(
            lambda: self._failure is not None or condition(), timeout_seconds
        )
        if self._failure is not None:
            raise self._failure
        if not is_met:
            waiting = self._put_ticket - self._written_ticket
            reason = f": {self._outage}" if self._outage else ""
            raise UndeliveredError(
                f"PostgreSQL: {waiting} rows wait, expected them to be written "
                f"within {timeout_seconds:g} s{reason}"
            )

    def _run(self) -> None:
        try:
            while rows := self._take():
                self._deliver(rows)
        except MarketflowError as error:
            self._fail(error)
        except psycopg.Error as error:
            self._fail(UndeliveredError(f"PostgreSQL refused rows: {describe(error)}"))
        except Exception as error:  # noqa: BLE001 - a dead thread must not look like a slow server
            self._fail(UndeliveredError(f"the writer of {self._table.name} failed: {error!r}"))
        finally:
            self._disconnect()

    def _take(self) -> list[R]:
        """Return the oldest rows as soon as there are any; none when it is time to end."""
        with self._changed:
            self._changed.wait_for(lambda: self._pending or self._is_closing)
            if self._is_closing:
                return []
            keys = list(islice(self._pending, self._settings.flush_rows))
            taken = [self._pending.pop(key) for key in keys]
            self._taken_ticket = taken[-1][0]
            self._changed.notify_all()
        # Two writers that lock the same rows in the same order cannot block each other.
        return sorted((row for _, row in taken), key=self._table.key)

    def _deliver(self, rows: list[R]) -> None:
        backoff_seconds = _BACKOFF_SECONDS
        while not self._is_closing:
            try:
                self._write(rows)
            except psycopg.Error as error:
                self._disconnect()
                if not is_transient(error):
                    raise
                self._note_outage(describe(error))
                with self._changed:
                    self._changed.wait_for(lambda: self._is_closing, backoff_seconds)
                backoff_seconds = min(2 * backoff_seconds, _BACKOFF_LIMIT_SECONDS)
            else:
                self._note_recovery()
                with self._changed:
                    self._written_ticket = self._taken_ticket
                    self._changed.notify_all()
                return

    def _write(self, rows: list[R]) -> None:
        if self._connection is None:
            self._connection = self._connect()
        self._ensure_exchanges(self._connection, rows)
        self._ensure_months(self._connection, rows)
        written = self._connection.execute(
            self._table.upsert, self._table.arrays(rows, self._exchange_ids)
        ).rowcount
        ROWS.labels(self._table.name).inc(written)

    def _connect(self) -> Connection:
        connection = connect(self._dsn)
        # A statement that waits for a lock longer than a flush may take is better tried again.
        connection.execute(
            "SELECT set_config('statement_timeout', %s, false)",
            [str(self._settings.flush_timeout_ms)],
        )
        return connection

    def _disconnect(self) -> None:
        if self._connection is not None:
            self._connection.close()
        self._connection = None
        self._months.clear()

    def _ensure_exchanges(self, connection: Connection, rows: list[R]) -> None:
        named = {row.exchange for row in rows}
        if named <= self._exchange_ids.keys():
            return
        try:
            cursor = connection.execute("SELECT code, exchange_id FROM dim_exch")
        except psycopg.errors.UndefinedTable:
            raise SettingsError(
                "the database has no table dim_exch: run `marketflow init`"
            ) from None
        self._exchange_ids = dict(cursor.fetchall())
        if missing := sorted(named - self._exchange_ids.keys()):
            raise SettingsError(
                f"exchange {missing[0]} is not in the table dim_exch, expected one of "
                f"{', '.join(sorted(self._exchange_ids))}: run `marketflow init`"
            )

    def _ensure_months(self, connection: Connection, rows: list[R]) -> None:
        time_seconds = self._table.time_seconds
        if time_seconds is None:
            return
        for day in {time_seconds(row) // _SECONDS_A_DAY for row in rows}:
            moment = datetime.fromtimestamp(day * _SECONDS_A_DAY, UTC)
            for needed in (moment, moment + _AHEAD):
                month = (needed.year, needed.month)
                if month not in self._months:
                    connection.execute(
                        "SELECT ensure_month(%s::regclass, %s)", [self._table.name, needed]
                    )
                    self._months.add(month)

    def _note_outage(self, reason: str) -> None:
        if self._outage_since is None:
            self._outage_since = time.monotonic()
            _log.warning("PostgreSQL does not take rows, retrying: %s", reason)
        self._outage = reason

    def _note_recovery(self) -> None:
        if self._outage_since is not None:
            duration_seconds = time.monotonic() - self._outage_since
            _log.warning("PostgreSQL takes rows again, after %.1f s", duration_seconds)
        self._outage_since = None
        self._outage = ""

    def _fail(self, error: MarketflowError) -> None:
        with self._changed:
            self._failure = error
            self._changed.notify_all()
