"""What the tables need now and then: sums of hours, a log of bounded length, months in order.

Each step is short or locks nobody out, may be ended at any time, and is taken up again.
"""

import time
from collections.abc import Iterator
from typing import Any, Final, LiteralString

import msgspec
import psycopg
from psycopg import sql
from psycopg.rows import TupleRow

from connectors.postgres.connection import Connection

HOURS_A_STEP: Final = 200
KEPT_CHANGES: Final = "48 hours"
MINUTES_TABLES: Final = ("taker_volume", "orderbook_minute")

# A writer of a month that is over is a correction; after this there will hardly be one.
_FINISHED_AFTER: Final = "2 days"
_IN_ORDER: Final = "in key order"
_CUT_ROWS: Final = 10_000

# Less than PostgreSQL's deadlock_timeout (1 s): whoever else waits, it is the swap that gives way.
_LOCK_TIMEOUT: Final = "500ms"
_SWAP_TRIES: Final = 60
_SWAP_PAUSE_S: Final = 1.0

_CUT: Final[LiteralString] = """
WITH old AS (
    SELECT xid, seq FROM taker_volume_changes
    WHERE recorded_at < now() - %s::interval
    ORDER BY xid, seq LIMIT %s
), cut AS (
    DELETE FROM taker_volume_changes WHERE (xid, seq) IN (SELECT xid, seq FROM old)
    RETURNING xid, seq
), last AS (
    SELECT xid, seq FROM cut ORDER BY xid DESC, seq DESC LIMIT 1
), noted AS (
    UPDATE taker_volume_changes_cut AS noted SET xid = last.xid, seq = last.seq FROM last
    WHERE (last.xid, last.seq) > (noted.xid, noted.seq)
)
SELECT count(*) FROM cut
"""

_MONTHS: Final[LiteralString] = """
SELECT month.relname, bounds[1]::timestamptz, bounds[2]::timestamptz,
       bounds[2]::timestamptz < now() - %s::interval,
       obj_description(month.oid, 'pg_class') IS NOT DISTINCT FROM %s,
       EXISTS (
           SELECT FROM pg_index JOIN pg_class AS index ON index.oid = indexrelid
           JOIN pg_am ON pg_am.oid = index.relam
           WHERE indrelid = month.oid AND amname = 'brin' AND indisvalid
       )
FROM pg_inherits
JOIN pg_class AS month ON month.oid = inhrelid
CROSS JOIN LATERAL regexp_match(
    pg_get_expr(month.relpartbound, month.oid), $$FROM \\('(.+)'\\) TO \\('(.+)'\\)$$
) AS bounds
WHERE inhparent = %s::regclass
ORDER BY 2
"""


class Month(msgspec.Struct, frozen=True):
    """One partition of a minutes table."""

    name: str
    first: Any
    end: Any
    is_finished: bool
    is_in_order: bool
    has_brin: bool


def refresh_hours(connection: Connection) -> int:
    """Make the sums of all dirty hours that are over; return how many were made."""
    total = 0
    while count := _count(connection, "SELECT refresh_hours(%s)", [HOURS_A_STEP]):
        total += count
    return total


def cut_changes(connection: Connection) -> int:
    """Delete what the log of changes no longer has to keep; return how many rows."""
    total = 0
    while count := _count(connection, _CUT, [KEPT_CHANGES, _CUT_ROWS]):
        total += count
    return total


def _count(connection: Connection, query: LiteralString, parameters: list[Any]) -> int:
    row = connection.execute(query, parameters).fetchone()
    return int(row[0]) if row is not None else 0


def months(connection: Connection, table: str) -> list[Month]:
    """Return the partitions of a minutes table, oldest first."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT set_config('TimeZone', 'UTC', false)")
        cursor.execute(_MONTHS, [_FINISHED_AFTER, _IN_ORDER, table])
        return [Month(*row) for row in cursor]


def index_months(connection: Connection) -> Iterator[str]:
    """Give months from before this release what new ones are made with; yield their names."""
    for table in MINUTES_TABLES:
        for month in months(connection, table):
            if not month.has_brin:
                index = sql.Identifier(f"{month.name}_minute_brin")
                # What an interrupted build left behind is of no use.
                connection.execute(sql.SQL("DROP INDEX CONCURRENTLY IF EXISTS {}").format(index))
                connection.execute(
                    sql.SQL(
                        "CREATE INDEX CONCURRENTLY {} ON {} USING brin (minute) "
                        "WITH (pages_per_range = 32)"
                    ).format(index, sql.Identifier(month.name))
                )
                connection.execute(
                    sql.SQL("ALTER TABLE {} SET (fillfactor = 70)").format(
                        sql.Identifier(month.name)
                    )
                )
                yield month.name


def rewrite_months(connection: Connection) -> Iterator[str]:
    """Store finished months in the order of their keys; yield the name of each.

    A day of a market is then 46 pages instead of 1,450. Readers and writers go on meanwhile; at
    the end they wait for as long as it takes to copy what changed since the beginning.
    """
    for table in MINUTES_TABLES:
        for month in months(connection, table):
            if month.is_finished and not month.is_in_order:
                _rewrite(connection, table, month)
                yield month.name


def _rewrite(connection: Connection, table: str, month: Month) -> None:
    names: dict[str, sql.Composable] = {
        "parent": sql.Identifier(table),
        "month": sql.Identifier(month.name),
        "copy": sql.Identifier(f"{month.name}_copy"),
        "brin": sql.Identifier(f"{month.name}_copy_brin"),
        "kept_brin": sql.Identifier(f"{month.name}_minute_brin"),
        "first": sql.Literal(month.first),
        "end": sql.Literal(month.end),
        "note": sql.Literal(_IN_ORDER),
    }
    began = connection.execute("SELECT now()").fetchone()
    for statement in _COPY:
        connection.execute(sql.SQL(statement).format(**names))
    columns = [
        row[0]
        for row in connection.execute(
            "SELECT attname FROM pg_attribute WHERE attrelid = %s::regclass AND attnum > 0 "
            "AND NOT attisdropped",
            [month.name],
        )
    ]
    changes = sql.SQL(", ").join(
        sql.SQL("{0} = excluded.{0}").format(sql.Identifier(name)) for name in columns
    )
    for left in reversed(range(_SWAP_TRIES)):
        try:
            _swap(connection, names, changes, began)
        except psycopg.errors.LockNotAvailable:
            if not left:
                raise
            time.sleep(_SWAP_PAUSE_S)
        else:
            return


def _swap(
    connection: Connection,
    names: dict[str, sql.Composable],
    changes: sql.Composed,
    began: TupleRow | None,
) -> None:
    """Put the copy, with what changed since it began, in the place of the month.

    Raises:
        psycopg.errors.LockNotAvailable: Somebody holds a lock; nothing was changed.
    """
    with connection.transaction():
        connection.execute("SELECT set_config('lock_timeout', %s, true)", [_LOCK_TIMEOUT])
        # The parent first, as every writer does: one that has it can still finish.
        for lock in _LOCKS:
            connection.execute(sql.SQL(lock).format(**names))
        # A transaction that had begun an hour before the copy and still runs is none of ours.
        connection.execute(
            sql.SQL(
                "INSERT INTO {copy} AS copied SELECT * FROM {month} "
                "WHERE updated_at >= %s::timestamptz - interval '1 hour' "
                "ON CONFLICT (exchange_id, symbol, minute) DO UPDATE SET {changes} "
                "WHERE copied.updated_at <> excluded.updated_at"
            ).format(**names, changes=changes),
            began,
        )
        for statement in _EXCHANGE:
            connection.execute(sql.SQL(statement).format(**names))


# The check and the foreign key are those that a partition needs: to attach it then reads nothing.
_COPY: Final[tuple[LiteralString, ...]] = (
    "DROP TABLE IF EXISTS {copy}",
    "CREATE TABLE {copy} (LIKE {month} INCLUDING DEFAULTS INCLUDING CONSTRAINTS)",
    "INSERT INTO {copy} SELECT * FROM {month} ORDER BY exchange_id, symbol, minute",
    "ALTER TABLE {copy} ADD PRIMARY KEY (exchange_id, symbol, minute)",
    "ALTER TABLE {copy} ADD FOREIGN KEY (exchange_id) REFERENCES dim_exch",
    """ALTER TABLE {copy} ADD CONSTRAINT of_this_month
       CHECK (minute IS NOT NULL AND minute >= {first} AND minute < {end})""",
    "CREATE INDEX {brin} ON {copy} USING brin (minute) WITH (pages_per_range = 32)",
    "ANALYZE {copy}",
)
_LOCKS: Final[tuple[LiteralString, ...]] = (
    "LOCK TABLE ONLY {parent} IN SHARE ROW EXCLUSIVE MODE",
    "LOCK TABLE {month} IN SHARE ROW EXCLUSIVE MODE",
)
_EXCHANGE: Final[tuple[LiteralString, ...]] = (
    "ALTER TABLE {parent} DETACH PARTITION {month}",
    "DROP TABLE {month}",
    "ALTER TABLE {copy} RENAME TO {month}",
    "ALTER INDEX {brin} RENAME TO {kept_brin}",
    "ALTER TABLE {parent} ATTACH PARTITION {month} FOR VALUES FROM ({first}) TO ({end})",
    "ALTER TABLE {month} DROP CONSTRAINT of_this_month",
    "COMMENT ON TABLE {month} IS {note}",
)


def is_lock_timeout(error: psycopg.Error) -> bool:
    """Tell whether somebody else held a lock for too long: the step may be tried again."""
    return isinstance(error, psycopg.errors.LockNotAvailable)
