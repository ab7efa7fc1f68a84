"""Klines of Korbit: candles of one minute over REST, https://docs.korbit.co.kr/."""

from decimal import Decimal
from typing import Final

import msgspec

from schemas.exchanges._common import decoding
from schemas.exchanges._klines import minute_of, native_of
from schemas.exchanges.korbit.decode import symbol_of
from schemas.feeds import Feed
from schemas.histories import Market
from schemas.klines import Kline, KlineConventions, KlineSource
from schemas.times import NS_PER_MS


class _Candle(msgspec.Struct):
    """One minute: `{"timestamp":1725424500000,"open":"78142000","high":…,"volume":"0.1297"}`."""

    timestamp: int
    open: Decimal
    high: Decimal
    low: Decimal
    close: Decimal
    volume: Decimal


class _Answer(msgspec.Struct):
    data: list[_Candle]


_answer: Final = msgspec.json.Decoder(_Answer)


def decode_klines(frame: bytes, feed: Feed) -> list[Kline]:
    """Return the klines of a frame, WebSocket or REST."""
    with decoding("korbit"):
        symbol = symbol_of(native_of(feed.native_symbol, "korbit"))
        return [
            Kline(
                symbol=symbol,
                minute_s=minute_of(row.timestamp * NS_PER_MS, "korbit"),
                open=row.open,
                high=row.high,
                low=row.low,
                close=row.close,
                volume=row.volume,
            )
            for row in _answer.decode(frame).data
        ]


def _request(market: Market, start_s: int, end_s: int) -> tuple[str, dict[str, str | int]]:
    return "/v2/candles", {
        "symbol": market.native_symbol,
        "interval": "1",
        "start": start_s * 1_000,
        # The document does not say which ends are in it: one more does no harm.
        "end": end_s * 1_000,
        "limit": (end_s - start_s) // 60 + 1,
    }


KLINES: Final = KlineSource(
    _request,
    max_minutes=199,
    conventions={"spot": KlineConventions(skips_quiet_minutes=True, note="all trades")},
)
