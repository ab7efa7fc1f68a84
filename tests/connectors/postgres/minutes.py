"""Minutes for the tests of the writer and the sink, and how they look in the table."""

from decimal import Decimal
from typing import Any

import msgspec
import psycopg
from psycopg.rows import dict_row

from schemas.records import TakerVolume

MINUTE = 1_729_678_800

_MINUTE = TakerVolume(
    exchange="binance",
    symbol="BTC-USDT",
    minute=MINUTE,
    taker_buy_volume=Decimal("12.3450"),
    taker_sell_volume=Decimal("9.8700"),
    taker_buy_notional=Decimal("822311.5"),
    taker_sell_notional=Decimal("657432.25"),
    buy_count=3,
    sell_count=2,
    open=Decimal("66609.22"),
    high=Decimal("66620.01"),
    low=Decimal("66600.00"),
    close=Decimal("66610.5"),
    vwap=Decimal("66609.123456789012"),
    is_final=True,
    revision=1,
    late_trades=0,
    duplicate_trades=0,
)


def minute(**changes: Any) -> TakerVolume:
    return msgspec.structs.replace(_MINUTE, **changes)


def state(revision: int, trades: int, duplicates: int, **changes: Any) -> TakerVolume:
    """A state of a minute whose figures follow from how far it is: other states differ in all."""
    return minute(
        revision=revision,
        is_final=revision > 0,
        buy_count=trades,
        sell_count=0,
        duplicate_trades=duplicates,
        taker_buy_volume=Decimal(revision * 10_000 + trades * 100 + duplicates),
        **changes,
    )


def stored(dsn: str) -> list[TakerVolume]:
    """All rows of the table, as records, in the order of their key."""
    query = """
        SELECT code AS exchange, symbol, extract(epoch FROM minute)::bigint AS minute,
               taker_buy_volume, taker_sell_volume, taker_buy_notional, taker_sell_notional,
               buy_count, sell_count, open, high, low, close, vwap,
               is_final, revision, late_trades, duplicate_trades
        FROM taker_volume JOIN dim_exch USING (exchange_id)
        ORDER BY code, symbol, taker_volume.minute
    """
    with psycopg.connect(dsn, row_factory=dict_row) as connection:
        return [TakerVolume(**row) for row in connection.execute(query)]
