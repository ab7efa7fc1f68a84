"""Minutes with every figure, for tests to write and to compute with."""

from collections.abc import Sequence
from decimal import Decimal

import msgspec
import psycopg


class Minute(msgspec.Struct, frozen=True):
    """One row of `taker_volume`."""

    code: str
    symbol: str
    minute_s: int
    buy: str
    sell: str
    price: str = "100"
    is_final: bool = True
    is_complete: bool | None = True
    revision: int = 1

    @property
    def delta(self) -> Decimal:
        return Decimal(self.buy) - Decimal(self.sell)


_UPSERT = """
INSERT INTO taker_volume AS stored (
    exchange_id, symbol, minute, taker_buy_volume, taker_sell_volume, taker_buy_notional,
    taker_sell_notional, buy_count, sell_count, open, high, low, close, vwap, is_final,
    is_complete, revision, late_trades, duplicate_trades
)
SELECT exchange_id, given.symbol, to_timestamp(minute_s), buy, sell, buy * price, sell * price,
       1, 2, price, price + 1, price - 1, price, price, is_final, is_complete, revision, 0, 0
FROM unnest(%s::text[], %s::text[], %s::bigint[], %s::numeric[], %s::numeric[], %s::numeric[],
            %s::boolean[], %s::boolean[], %s::integer[])
    AS given (code, symbol, minute_s, buy, sell, price, is_final, is_complete, revision)
JOIN dim_exch USING (code)
ON CONFLICT (exchange_id, symbol, minute) DO UPDATE SET
    taker_buy_volume = excluded.taker_buy_volume, taker_sell_volume = excluded.taker_sell_volume,
    taker_buy_notional = excluded.taker_buy_notional,
    taker_sell_notional = excluded.taker_sell_notional, open = excluded.open,
    high = excluded.high, low = excluded.low, close = excluded.close, vwap = excluded.vwap,
    is_final = excluded.is_final, is_complete = excluded.is_complete,
    revision = excluded.revision, updated_at = now()
WHERE excluded.revision >= stored.revision
"""


def write(dsn: str, minutes: Sequence[Minute]) -> None:
    """Write minutes as the dataflow would: one statement, newer revisions replace older ones."""
    with psycopg.connect(dsn, autocommit=True) as connection:
        for start in sorted({minute.minute_s // 2_400_000 for minute in minutes}):
            for moment_s in (start * 2_400_000, (start + 1) * 2_400_000):
                connection.execute(
                    "SELECT ensure_month('taker_volume', to_timestamp(%s))", [moment_s]
                )
        columns = [list(column) for column in zip(*map(msgspec.structs.astuple, minutes))]  # noqa: B905 - all have the same fields
        connection.execute(_UPSERT, columns)


_VERDICT = """
INSERT INTO audit_minute (exchange_id, symbol, minute, verdict, reason, known)
SELECT exchange_id, %s, to_timestamp(%s), %s, %s, 1 FROM dim_exch WHERE code = %s
"""


def write_verdicts(
    dsn: str, code: str, symbol: str, start_s: int, verdicts: Sequence[str], reason: str = ""
) -> None:
    """Write what the audit says of minutes that follow each other."""
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute("SELECT ensure_month('audit_minute', to_timestamp(%s))", [start_s])
        for number, verdict in enumerate(verdicts):
            at_s = start_s + 60 * number
            connection.execute(_VERDICT, [symbol, at_s, verdict, reason, code])
