"""Klines of Kraken: `/0/public/OHLC`, whose last row is always the running minute.

https://docs.kraken.com/api/docs/rest-api/get-ohlc-data: the last 720 minutes.
"""

from decimal import Decimal
from typing import Final

import msgspec

from schemas.errors import DecodeError
from schemas.exchanges._common import decoding
from schemas.exchanges._klines import minute_of
from schemas.exchanges.kraken.decode import _rest_symbol
from schemas.feeds import Feed
from schemas.histories import Market
from schemas.klines import Kline, KlineConventions, KlineSource
from schemas.times import NS_PER_SECOND


class _Row(msgspec.Struct, array_like=True):
    """One minute: `[1688671200,"30306.1","30306.2","30305.7","30305.7","30306.1","3.39",23]`."""

    time_s: int
    open: Decimal
    high: Decimal
    low: Decimal
    close: Decimal
    vwap: Decimal
    volume: Decimal
    trades: int


class _Answer(msgspec.Struct):
    error: list[str] = []
    result: dict[str, msgspec.Raw] = {}


_answer: Final = msgspec.json.Decoder(_Answer)
_rows: Final = msgspec.json.Decoder(list[_Row])


def decode_klines(frame: bytes, feed: Feed) -> list[Kline]:
    """Return the klines of a frame, WebSocket or REST."""
    with decoding("kraken"):
        answer = _answer.decode(frame)
        if answer.error:
            raise DecodeError(f"klines, got {answer.error[0][:80]}")
        klines: list[Kline] = []
        for pair, raw in answer.result.items():
            if pair == "last":
                continue
            symbol = _rest_symbol(pair, feed)
            klines += [_kline(row, symbol) for row in _rows.decode(raw)[:-1]]
        return klines


def _kline(row: _Row, symbol: str) -> Kline:
    has_trades = row.trades > 0
    return Kline(
        symbol=symbol,
        minute_s=minute_of(row.time_s * NS_PER_SECOND, "kraken"),
        # Without trades these are the last price, which is none of the minute's.
        open=row.open if has_trades else None,
        high=row.high if has_trades else None,
        low=row.low if has_trades else None,
        close=row.close if has_trades else None,
        volume=row.volume,
        trade_count=row.trades,
    )


def _request(market: Market, start_s: int, end_s: int) -> tuple[str, dict[str, str | int]]:
    del end_s
    pair = market.native_symbol.replace("/", "")
    return "/0/public/OHLC", {"pair": pair, "interval": 1, "since": start_s - 60}


KLINES: Final = KlineSource(
    _request,
    max_minutes=700,
    conventions={"spot": KlineConventions(note="all trades; no turnover, its vwap is rounded")},
)
