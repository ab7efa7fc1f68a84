"""The tables that dataflows write: how records become rows, and which of two rows is the newer."""

from collections.abc import Callable, Sequence
from decimal import Decimal
from operator import attrgetter
from typing import Any, Final, Generic, LiteralString, NamedTuple, TypeVar

import msgspec
from psycopg import sql

from schemas.feed_status import StoredFeedStatus
from schemas.records import (
    TICKER_FIGURES,
    AuditMinute,
    BookMinute,
    KlineFigures,
    TakerVolume,
    Ticker,
    kinds_of,
)

R = TypeVar("R", bound=TakerVolume | Ticker | BookMinute | AuditMinute | StoredFeedStatus)

EXCHANGE_ID: Final = "exchange_id"
MARKET: Final = "(SELECT name FROM dim_exch WHERE dim_exch.exchange_id = given.exchange_id)"
REGION: Final = "(SELECT region FROM dim_exch WHERE dim_exch.exchange_id = given.exchange_id)"


class Column(NamedTuple):
    """One column of a table."""

    name: str
    type: LiteralString | None
    """Of the values as they are sent; `None`: the expression alone makes it."""
    field: str | None = None
    """Of the record; `None`: of the same name."""
    expression: LiteralString | None = None
    """What is stored; `None`: the value as it was sent."""


class Table(Generic[R]):
    """A table and the one statement that writes to it.

    Args:
        name: Its name.
        columns: Those that are written; those of the key come first.
        key_length: How many of the columns are the key.
        progress: Orders the states of one key: of two, the greater one is the newer one.
        progress_sql: The same of a row, in SQL; `{row}` stands for its name.
        may_repeat: Of two states of equal progress the later one counts.
        reviewed: A column that may change without progress: of two states of equal progress that
            differ in it, the later one counts.
        time_seconds: Unix time of a record, where the table has a partition for each month.
    """

    def __init__(
        self,
        name: LiteralString,
        columns: Sequence[Column],
        *,
        key_length: int,
        progress: Callable[[R], Any],
        progress_sql: LiteralString,
        may_repeat: bool,
        reviewed: LiteralString | None = None,
        time_seconds: Callable[[R], int] | None = None,
    ) -> None:
        self.name = name
        self.columns = tuple(columns)
        self.progress = progress
        self.time_seconds = time_seconds
        self._may_repeat = may_repeat
        self._reviewed = attrgetter(reviewed) if reviewed else None
        self._key = attrgetter(*map(_field, columns[:key_length]))
        self._sent = [column for column in columns if column.type is not None]
        self._getters = [attrgetter(_field(column)) for column in self._sent]
        self.upsert = self._upsert(columns, key_length, progress_sql, reviewed)

    def key(self, row: R) -> Any:
        """Return what the row is stored under; it sorts."""
        return self._key(row)

    def is_newer(self, row: R, other: R) -> bool:
        """Return whether the row replaces another one of its key."""
        one, two = self.progress(row), self.progress(other)
        if one == two and self._reviewed is not None:
            return bool(self._reviewed(row) != self._reviewed(other))
        return bool(one >= two if self._may_repeat else one > two)

    def arrays(self, rows: Sequence[R], exchange_ids: dict[str, int]) -> list[object]:
        """Return the parameters of :attr:`upsert`."""
        arrays: list[object] = []
        for column, getter in zip(self._sent, self._getters, strict=True):
            values = list(map(getter, rows))
            if column.name == EXCHANGE_ID:
                values = [exchange_ids[exchange] for exchange in values]
            arrays.append(values if column.type == "text" else _literal(values))
        return arrays

    def _upsert(
        self,
        columns: Sequence[Column],
        key_length: int,
        progress_sql: LiteralString,
        reviewed: LiteralString | None,
    ) -> sql.Composed:
        names = [sql.Identifier(column.name) for column in columns]
        changed = names[key_length:]
        return sql.SQL(
            "INSERT INTO {table} AS stored ({names}) SELECT {values} FROM unnest({arrays}) "
            "AS given ({sent}) ON CONFLICT ({key}) DO UPDATE SET {changes}, updated_at = now() "
            "WHERE {new} {order} {old} {review}"
        ).format(
            table=sql.Identifier(self.name),
            names=_listed(names),
            values=_listed(
                [
                    sql.SQL(column.expression) if column.expression else name
                    for column, name in zip(columns, names, strict=True)
                ]
            ),
            arrays=_listed([sql.SQL("%s::{}[]").format(sql.SQL(c.type or "")) for c in self._sent]),
            sent=_listed([sql.Identifier(column.name) for column in self._sent]),
            key=_listed(names[:key_length]),
            changes=_listed([sql.SQL("{0} = excluded.{0}").format(name) for name in changed]),
            new=sql.SQL(progress_sql).format(row=sql.SQL("excluded")),
            order=sql.SQL(">=" if self._may_repeat else ">"),
            old=sql.SQL(progress_sql).format(row=sql.SQL("stored")),
            review=_review_sql(progress_sql, reviewed) if reviewed else sql.SQL(""),
        )


def _field(column: Column) -> str:
    return "exchange" if column.name == EXCHANGE_ID else column.field or column.name


def _review_sql(progress_sql: LiteralString, reviewed: LiteralString) -> sql.Composed:
    return sql.SQL("OR ({new} = {old} AND excluded.{name} IS DISTINCT FROM stored.{name})").format(
        new=sql.SQL(progress_sql).format(row=sql.SQL("excluded")),
        old=sql.SQL(progress_sql).format(row=sql.SQL("stored")),
        name=sql.Identifier(reviewed),
    )


def _listed(parts: Sequence[sql.Composable]) -> sql.Composed:
    return sql.SQL(", ").join(parts)


def _literal(values: Sequence[Any]) -> str:
    """Return an array as PostgreSQL reads it: much faster than a list that psycopg converts.

    PostgreSQL reads every text that a `Decimal` has, `1E+8` too, as the same number.
    """
    return "{" + ",".join(["NULL" if value is None else str(value) for value in values]) + "}"


def _columns(kind: LiteralString, *names: str) -> list[Column]:
    return [Column(name, kind) for name in names]


# Numbers are sent as the widest type of their kind; the table may have a narrower one.
_TYPES: Final[dict[type, LiteralString]] = {
    Decimal: "numeric",
    int: "bigint",
    bool: "boolean",
    str: "text",
}


def _columns_of(record: type[msgspec.Struct], besides: Sequence[str]) -> list[Column]:
    """Return a column for each field of a record, but for some."""
    return [
        Column(name, _TYPES[kind]) for name, kind in kinds_of(record).items() if name not in besides
    ]


_KEY: Final = [Column(EXCHANGE_ID, "smallint"), Column("symbol", "text")]
_MINUTE: Final = Column("minute", "bigint", expression="to_timestamp(minute)")


def _minute_seconds(row: TakerVolume | BookMinute | AuditMinute) -> int:
    return row.minute


def _taker_volume_progress(row: TakerVolume) -> tuple[bool, int, int, int]:
    # By what the row holds, so that no restart and no clock can put a fuller state behind.
    return row.is_final, row.buy_count + row.sell_count, row.revision, row.duplicate_trades


TAKER_VOLUME: Final[Table[TakerVolume]] = Table(
    "taker_volume",
    [*_KEY, _MINUTE, *_columns_of(TakerVolume, besides=("exchange", "symbol", "minute"))],
    key_length=3,
    progress=_taker_volume_progress,
    progress_sql=(
        "({row}.is_final, {row}.buy_count + {row}.sell_count, {row}.revision, "
        "{row}.duplicate_trades)"
    ),
    may_repeat=False,
    reviewed="is_complete",
    time_seconds=_minute_seconds,
)


def _book_minute_progress(row: BookMinute) -> tuple[int, int]:
    return row.valid_ms, row.updates


# A log that begins inside a minute knows less of it than one that was read from before it.
ORDERBOOK_MINUTE: Final[Table[BookMinute]] = Table(
    "orderbook_minute",
    [*_KEY, _MINUTE, *_columns_of(BookMinute, besides=("exchange", "symbol", "minute"))],
    key_length=3,
    progress=_book_minute_progress,
    progress_sql="({row}.valid_ms, {row}.updates)",
    may_repeat=True,
    time_seconds=_minute_seconds,
)


def _ticker_progress(row: Ticker) -> int:
    return row.time_ns // 1_000  # what the column keeps of it


TICKER_LATEST: Final[Table[Ticker]] = Table(
    "ticker_latest",
    [
        *_KEY,
        Column("region", None, expression=REGION),
        Column("market", None, expression=MARKET),
        Column("coin_symbol", None, expression="split_part(symbol, '-', 1)"),
        Column(
            "timestamp",
            "bigint",
            field="time_ns",
            expression=(
                "timestamptz '1970-01-01 00:00:00+00' + "
                "given.timestamp / 1000 * interval '1 microsecond'"
            ),
        ),
        *_columns("numeric", *TICKER_FIGURES),
    ],
    key_length=2,
    progress=_ticker_progress,
    progress_sql="{row}.timestamp",
    may_repeat=True,
)


def _figure_type(name: str) -> LiteralString:
    return "bigint" if name == "trade_count" else "numeric"


def _audit_progress(row: AuditMinute) -> int:
    return row.known


AUDIT_MINUTE: Final[Table[AuditMinute]] = Table(
    "audit_minute",
    [
        *_KEY,
        _MINUTE,
        *_columns("text", "verdict", "reason"),
        Column("revision", "integer"),
        *(
            Column(f"kline_{name}", _figure_type(name), field=f"kline.{name}")
            for name in KlineFigures.__struct_fields__
        ),
        *(
            Column(f"{name}_difference", _figure_type(name), field=f"difference.{name}")
            for name in KlineFigures.__struct_fields__
        ),
        Column("known", "bigint"),
    ],
    key_length=3,
    progress=_audit_progress,
    progress_sql="{row}.known",
    may_repeat=True,
    time_seconds=_minute_seconds,
)


def _as_stored(row: StoredFeedStatus) -> int:
    del row
    return 0


# A place of a topic that was made again holds another record than before: the later one counts.
FEED_STATUS: Final[Table[StoredFeedStatus]] = Table(
    "feed_status",
    [
        Column("kafka_partition", "smallint"),
        Column("kafka_offset", "bigint"),
        Column(EXCHANGE_ID, "smallint"),
        Column("product", "text", field="status.product"),
        Column("kind", "text", field="status.kind"),
        Column("event", "text", field="status.event"),
        Column("symbols", "text", expression="given.symbols::text[]"),
        Column(
            "time", "bigint", field="status.time_ms",
            expression="timestamptz 'epoch' + given.time * interval '1 millisecond'",
        ),
        Column(
            "last_good", "bigint", field="status.last_good_ms",
            expression="timestamptz 'epoch' + given.last_good * interval '1 millisecond'",
        ),
        Column(
            "first_good", "bigint", field="status.first_good_ms",
            expression="timestamptz 'epoch' + given.first_good * interval '1 millisecond'",
        ),
        Column("reason", "text", field="status.reason"),
    ],
    key_length=2,
    progress=_as_stored,
    progress_sql="0",
    may_repeat=True,
)  # fmt: skip

BY_MONTH: Final = tuple(
    table.name
    for table in (TAKER_VOLUME, ORDERBOOK_MINUTE, TICKER_LATEST, AUDIT_MINUTE)
    if table.time_seconds
)
"""The tables with a partition for each month."""
