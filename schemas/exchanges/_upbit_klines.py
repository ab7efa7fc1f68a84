"""Klines of Upbit and Bithumb: candles of one minute over REST.

https://docs.upbit.com/kr/reference/minute-candle: newest first, none of a minute without trades.
"""

from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from typing import Final

import msgspec

from schemas.exchanges._common import decoding
from schemas.exchanges._klines import minute_of
from schemas.exchanges._upbit_format import _symbol
from schemas.feeds import Feed
from schemas.histories import Market
from schemas.klines import Kline, KlineConventions, KlineSource
from schemas.times import NS_PER_MS, ns_of_rfc3339


class _Candle(msgspec.Struct):
    """One minute.

    `{"market":"KRW-BTC","candle_date_time_utc":"2025-07-01T12:00:00","opening_price":145831000.0,
    "high_price":145831000.0,"low_price":145752000.0,"trade_price":145759000.0,
    "timestamp":1751371259000,"candle_acc_trade_price":93416000.1,"candle_acc_trade_volume":0.64,
    "unit":1}`
    """

    market: str
    candle_date_time_utc: str
    opening_price: Decimal
    high_price: Decimal
    low_price: Decimal
    trade_price: Decimal
    timestamp: int
    candle_acc_trade_price: Decimal
    candle_acc_trade_volume: Decimal


_candles: Final = msgspec.json.Decoder(list[_Candle])


def decode(exchange: str) -> Callable[[bytes, Feed], list[Kline]]:
    """Return what reads the candles of one of the two exchanges."""

    def decode_klines(frame: bytes, feed: Feed) -> list[Kline]:
        del feed
        with decoding(exchange):
            return [_kline(row, exchange) for row in _candles.decode(frame)]

    return decode_klines


def _kline(row: _Candle, exchange: str) -> Kline:
    return Kline(
        symbol=_symbol(row.market),
        minute_s=minute_of(ns_of_rfc3339(f"{row.candle_date_time_utc}Z"), exchange),
        open=row.opening_price,
        high=row.high_price,
        low=row.low_price,
        close=row.trade_price,
        volume=row.candle_acc_trade_volume,
        notional=row.candle_acc_trade_price,
        time_ns=row.timestamp * NS_PER_MS,
    )


def _request(market: Market, start_s: int, end_s: int) -> tuple[str, dict[str, str | int]]:
    last = datetime.fromtimestamp(end_s, UTC)
    return "/v1/candles/minutes/1", {
        "market": market.native_symbol,
        "to": f"{last:%Y-%m-%dT%H:%M:%SZ}",
        "count": (end_s - start_s) // 60,
    }


KLINES: Final = KlineSource(
    _request,
    max_minutes=200,
    conventions={
        "spot": KlineConventions(
            skips_quiet_minutes=True,
            # Sums of binary floating point: the last of 15 digits may be off.
            rounds_volume=True,
            note="all trades of the market; turnover is a rounded sum",
        )
    },
)
