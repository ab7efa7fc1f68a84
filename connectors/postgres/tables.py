"""The tables that dataflows write: how records become rows, and which of two rows is the newer."""

from collections.abc import Callable, Sequence
from operator import attrgetter
from typing import Any, Final, Generic, LiteralString, NamedTuple, TypeVar

from psycopg import sql

from schemas.records import BANDS_BPS, AuditMinute, BookMinute, KlineFigures, TakerVolume, Ticker

R = TypeVar("R", bound=TakerVolume | Ticker | BookMinute | AuditMinute)

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
        columns: Those that are written. Keys come first: `exchange_id`, `symbol`, `minute`.
        key_length: How many of the columns are the key.
        progress: Orders the states of one key: of two, the greater one is the newer one.
        progress_sql: The same of a row, in SQL; `{row}` stands for its name.
        may_repeat: Of two states of equal progress the later one counts.
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
        time_seconds: Callable[[R], int] | None = None,
    ) -> None:
        self.name = name
        self.progress = progress
        self.time_seconds = time_seconds
        self._may_repeat = may_repeat
        self._key = attrgetter("exchange", *(c.name for c in columns[1:key_length]))
        self._sent = [column for column in columns if column.type is not None]
        self._getters = [attrgetter(column.field or column.name) for column in self._sent[1:]]
        self.upsert = self._upsert(columns, key_length, progress_sql)

    def key(self, row: R) -> Any:
        """What the row is stored under; sorts."""
        return self._key(row)

    def is_newer(self, row: R, other: R) -> bool:
        """Whether the row replaces another one of its key."""
        one, two = self.progress(row), self.progress(other)
        return bool(one >= two if self._may_repeat else one > two)

    def arrays(self, rows: Sequence[R], exchange_ids: dict[str, int]) -> list[object]:
        """The parameters of :attr:`upsert`."""
        arrays: list[object] = [_literal([exchange_ids[row.exchange] for row in rows])]
        for column, getter in zip(self._sent[1:], self._getters, strict=True):
            values = list(map(getter, rows))
            arrays.append(values if column.type == "text" else _literal(values))
        return arrays

    def _upsert(
        self, columns: Sequence[Column], key_length: int, progress_sql: LiteralString
    ) -> sql.Composed:
        names = [sql.Identifier(column.name) for column in columns]
        changed = names[key_length:]
        return sql.SQL(
            "INSERT INTO {table} AS stored ({names}) SELECT {values} FROM unnest({arrays}) "
            "AS given ({sent}) ON CONFLICT ({key}) DO UPDATE SET {changes}, updated_at = now() "
            "WHERE {new} {order} {old}"
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
        )


def _listed(parts: Sequence[sql.Composable]) -> sql.Composed:
    return sql.SQL(", ").join(parts)


def _literal(values: Sequence[Any]) -> str:
    """An array as PostgreSQL reads it: several times as fast as a list that psycopg converts.

    PostgreSQL reads every text that a `Decimal` has, `1E+8` too, as the same number.
    """
    return "{" + ",".join(["NULL" if value is None else str(value) for value in values]) + "}"


def _columns(kind: LiteralString, *names: str) -> list[Column]:
    return [Column(name, kind) for name in names]


_KEY: Final = [Column(EXCHANGE_ID, "smallint"), Column("symbol", "text")]
_MINUTE: Final = Column("minute", "bigint", expression="to_timestamp(minute)")


def _minute_seconds(row: TakerVolume | BookMinute | AuditMinute) -> int:
    return row.minute


def _taker_volume_progress(row: TakerVolume) -> tuple[int, int, int]:
    return row.revision, row.buy_count + row.sell_count, row.duplicate_trades


TAKER_VOLUME: Final[Table[TakerVolume]] = Table(
    "taker_volume",
    [
        *_KEY,
        _MINUTE,
        *_columns("numeric", "taker_buy_volume", "taker_sell_volume"),
        *_columns("numeric", "taker_buy_notional", "taker_sell_notional"),
        *_columns("bigint", "buy_count", "sell_count"),
        *_columns("numeric", "open", "high", "low", "close", "vwap"),
        Column("is_final", "boolean"),
        Column("revision", "integer"),
        *_columns("bigint", "late_trades", "duplicate_trades"),
    ],
    key_length=3,
    progress=_taker_volume_progress,
    progress_sql=("({row}.revision, {row}.buy_count + {row}.sell_count, {row}.duplicate_trades)"),
    may_repeat=False,
    time_seconds=_minute_seconds,
)


def _book_minute_progress(row: BookMinute) -> tuple[int, int]:
    return row.valid_ms, row.updates


# A log that begins inside a minute knows less of it than one that was read from before it.
ORDERBOOK_MINUTE: Final[Table[BookMinute]] = Table(
    "orderbook_minute",
    [
        *_KEY,
        _MINUTE,
        *_columns("numeric", "highest_bid", "lowest_ask"),
        *_columns("numeric", "spread", "spread_min", "spread_max", "spread_twa", "spread_bps_twa"),
        *_columns("numeric", *(f"total_bid_volume{part}" for part in ("", "_min", "_max", "_twa"))),
        *_columns("numeric", *(f"total_ask_volume{part}" for part in ("", "_min", "_max", "_twa"))),
        *_columns("numeric", "imbalance", "imbalance_twa"),
        *(
            column
            for bps in BANDS_BPS
            for column in (
                *_columns("numeric", f"depth_{bps}bps_bid", f"depth_{bps}bps_ask"),
                Column(f"depth_{bps}bps_truncated", "boolean"),
            )
        ),
        *_columns("bigint", "updates", "crossed"),
        Column("crossed_ms", "integer"),
        Column("gaps", "bigint"),
        Column("valid_ms", "integer"),
    ],
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
        *_columns("numeric", "opening_price", "trade_price", "max_price", "min_price"),
        *_columns("numeric", "prev_closing_price", "acc_trade_volume_24h"),
        *_columns("numeric", "signed_change_price", "signed_change_rate"),
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

BY_MONTH: Final = tuple(
    table.name
    for table in (TAKER_VOLUME, ORDERBOOK_MINUTE, TICKER_LATEST, AUDIT_MINUTE)
    if table.time_seconds
)
"""The tables with a partition for each month."""
