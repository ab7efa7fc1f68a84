"""Klines of Coinone: the chart of one minute over REST.

https://docs.coinone.co.kr/reference/chart: newest first, the running minute among them.
"""

from decimal import Decimal
from typing import Final

import msgspec

from schemas.errors import DecodeError
from schemas.exchanges._common import decoding
from schemas.exchanges._klines import minute_of, native_of
from schemas.feeds import Feed
from schemas.histories import Market
from schemas.klines import Kline, KlineConventions, KlineSource
from schemas.symbols import spot
from schemas.times import NS_PER_MS


class _Candle(msgspec.Struct):
    """One minute.

    `{"timestamp":1676252460000,"open":"27500000.0","high":"27510000.0","low":"27500000.0",
    "close":"27510000.0","target_volume":"0.24","quote_volume":"6601200.0"}`
    """

    timestamp: int
    open: Decimal
    high: Decimal
    low: Decimal
    close: Decimal
    target_volume: Decimal
    quote_volume: Decimal


class _Answer(msgspec.Struct):
    result: str
    error_code: str = ""
    chart: list[_Candle] = []


_answer: Final = msgspec.json.Decoder(_Answer)


def decode_klines(frame: bytes, feed: Feed) -> list[Kline]:
    """Return the klines of a frame, WebSocket or REST."""
    with decoding("coinone"):
        quote, _, base = native_of(feed.native_symbol, "coinone").partition("/")
        symbol = spot(base, quote)
        answer = _answer.decode(frame)
        if answer.result != "success":
            raise DecodeError(f"a chart, got error {answer.error_code}")
        return [
            Kline(
                symbol=symbol,
                minute_s=minute_of(row.timestamp * NS_PER_MS, "coinone"),
                open=row.open,
                high=row.high,
                low=row.low,
                close=row.close,
                volume=row.target_volume,
                notional=row.quote_volume,
            )
            for row in answer.chart
        ]


def _request(market: Market, start_s: int, end_s: int) -> tuple[str, dict[str, str | int]]:
    return f"/public/v2/chart/{market.native_symbol}", {
        "interval": "1m",
        # The document does not say whether this minute is in it: one more does no harm.
        "timestamp": end_s * 1_000,
        "size": (end_s - start_s) // 60 + 1,
    }


KLINES: Final = KlineSource(
    _request,
    max_minutes=499,
    conventions={
        "spot": KlineConventions(skips_quiet_minutes=True, rounds_volume=True, note="all trades")
    },
)
