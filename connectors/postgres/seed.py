"""Many minutes at once, for benchmarks: made by PostgreSQL, the same ones each time."""

from datetime import datetime, timedelta
from typing import Final, LiteralString

from psycopg import sql

from connectors.postgres.connection import Connection

# Straight into the month and in key order: what a rewritten month looks like. Its figures follow
# from the minute's number, so that two runs write the same ones.
_MINUTES: Final[LiteralString] = """
INSERT INTO {month} (
    exchange_id, symbol, minute, taker_buy_volume, taker_sell_volume, taker_buy_notional,
    taker_sell_notional, buy_count, sell_count, open, high, low, close, vwap, is_final, revision,
    late_trades, duplicate_trades, is_complete
)
SELECT exchange_id, market.symbol, minute, buy, sell, buy * price, sell * price, 40 + number %% 50,
       30 + number %% 60, price, price + 5, price - 5, price + 1, price, true, 1, 0, 0, true
FROM unnest(%s::text[], %s::text[]) AS market (code, symbol)
JOIN dim_exch USING (code)
CROSS JOIN generate_series(%s::timestamptz, %s::timestamptz - interval '1 minute',
                           interval '1 minute') AS minute
CROSS JOIN LATERAL (SELECT (extract(epoch FROM minute) / 60)::bigint AS number) AS numbered
CROSS JOIN LATERAL (
    SELECT (number * 7919 %% 100000)::numeric / 10000 AS buy,
           (number * 6101 %% 100000)::numeric / 10000 AS sell,
           60000 + (number * 31 %% 9000)::numeric / 100 AS price
) AS figures
ORDER BY exchange_id, market.symbol COLLATE "default", minute
ON CONFLICT DO NOTHING
"""
_HOURS: Final[LiteralString] = """
INSERT INTO taker_volume_hour (
    exchange_id, symbol, hour, taker_buy_volume, taker_sell_volume, taker_buy_notional,
    taker_sell_notional, buy_count, sell_count, open, high, low, close, is_complete, revision,
    minutes, complete_minutes, incomplete_minutes
)
SELECT exchange_id, symbol, hour_of(minute), sum(taker_buy_volume), sum(taker_sell_volume),
       sum(taker_buy_notional), sum(taker_sell_notional), sum(buy_count), sum(sell_count),
       (array_agg(open ORDER BY minute))[1], max(high), min(low),
       (array_agg(close ORDER BY minute DESC))[1], bool_and(is_complete), max(revision), count(*),
       count(*) FILTER (WHERE is_complete), count(*) FILTER (WHERE NOT is_complete)
FROM {month} GROUP BY 1, 2, 3
ON CONFLICT DO NOTHING
"""


def seed(
    connection: Connection, markets: list[tuple[str, str]], end: datetime, minutes: int
) -> int:
    """Write so many minutes of each market before an end; return how many rows were written.

    Args:
        connection: Of an empty database with its tables.
        markets: Exchange id and symbol of each.
        end: The start of an hour.
        minutes: Of each market.
    """
    start, total = end - timedelta(minutes=minutes), 0
    codes, symbols = [code for code, _ in markets], [symbol for _, symbol in markets]
    while start < end:
        month_end = (start.replace(day=1) + timedelta(days=32)).replace(day=1, hour=0, minute=0)
        until = min(end, month_end)
        connection.execute("SELECT ensure_month('taker_volume', %s)", [start])
        month = sql.Identifier(f"taker_volume_{start:%Y_%m}")
        total += connection.execute(
            sql.SQL(_MINUTES).format(month=month), [codes, symbols, start, until]
        ).rowcount
        connection.execute(sql.SQL(_HOURS).format(month=month))
        connection.execute(sql.SQL("ANALYZE {}").format(month))
        start = until
    connection.execute("ANALYZE taker_volume_hour")
    return total
