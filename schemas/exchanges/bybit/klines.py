"""Klines of Bybit: topic `kline.1.…` and `/v5/market/kline`.

https://bybit-exchange.github.io/docs/v5/websocket/public/kline; the open is the last close.
"""

from decimal import Decimal
from typing import Final

import msgspec

from schemas.exchanges._common import decoding
from schemas.exchanges._klines import minute_of, native_of
from schemas.exchanges.bybit.names import market_of
from schemas.feeds import Feed
from schemas.histories import Market
from schemas.klines import Kline, KlineConventions, KlineSource
from schemas.times import NS_PER_MS, ns_of_ms


class _Bar(msgspec.Struct):
    """One minute, running or closed.

    `{"start":1786310760000,"end":1786310819999,"interval":"1","open":"65119.9","close":"65114.3",
    "high":"65119.9","low":"65114.2","volume":"1.576","turnover":"102627.995","confirm":false,
    "timestamp":1786310818440}`
    """

    start: int
    interval: str
    open: Decimal
    close: Decimal
    high: Decimal
    low: Decimal
    volume: Decimal
    turnover: Decimal
    confirm: bool
    timestamp: int


class _Row(msgspec.Struct, array_like=True):
    """One minute: `["1670608800000","17071","17073","17027","17055.5","268611","15.74"]`."""

    start: str
    open: Decimal
    high: Decimal
    low: Decimal
    close: Decimal
    volume: Decimal
    turnover: Decimal


class _Result(msgspec.Struct):
    category: str = ""
    symbol: str = ""
    rows: list[_Row] = msgspec.field(name="list", default_factory=list)


class _Frame(msgspec.Struct):
    topic: str = ""
    data: msgspec.Raw = msgspec.Raw()
    result: _Result | None = None


_frame: Final = msgspec.json.Decoder(_Frame)
_bars: Final = msgspec.json.Decoder(list[_Bar])


def decode_klines(frame: bytes, feed: Feed) -> list[Kline]:
    """Return the klines of a frame, WebSocket or REST."""
    with decoding("bybit"):
        found = _frame.decode(frame)
        if found.result is not None and found.result.rows:
            native = found.result.symbol or native_of(feed.native_symbol, "bybit")
            return [_of_row(row, native, feed) for row in found.result.rows]
        if not found.topic.startswith("kline.1."):
            return []
        native = found.topic.removeprefix("kline.1.")
        return [
            _of_bar(bar, native, feed) for bar in _bars.decode(found.data) if bar.interval == "1"
        ]


def _of_bar(bar: _Bar, native: str, feed: Feed) -> Kline:
    kline = _of_row(
        _Row(str(bar.start), bar.open, bar.high, bar.low, bar.close, bar.volume, bar.turnover),
        native,
        feed,
    )
    return msgspec.structs.replace(kline, is_closed=bar.confirm, time_ns=bar.timestamp * NS_PER_MS)


def _of_row(row: _Row, native: str, feed: Feed) -> Kline:
    market = market_of(native, feed.product == "spot")
    # An inverse contract is worth a dollar: its volume is quote, its turnover base.
    is_inverse = market.product == "inverse"
    return Kline(
        symbol=market.symbol,
        minute_s=minute_of(ns_of_ms(row.start), "bybit"),
        open=row.open,
        high=row.high,
        low=row.low,
        close=row.close,
        volume=row.turnover if is_inverse else row.volume,
        notional=row.volume if is_inverse else row.turnover,
    )


def _request(market: Market, start_s: int, end_s: int) -> tuple[str, dict[str, str | int]]:
    return "/v5/market/kline", {
        "category": market.product,
        "symbol": market.native_symbol,
        "interval": "1",
        "start": start_s * 1_000,
        "end": (end_s - 60) * 1_000,
        "limit": (end_s - start_s) // 60,
    }


_NOTE: Final = "all trades of the feed, RPI orders too; block trades are not in it"

KLINES: Final = KlineSource(
    _request,
    max_minutes=1_000,
    conventions={
        "spot": KlineConventions(opens_at_last_close=True, note=_NOTE),
        "linear": KlineConventions(opens_at_last_close=True, note=_NOTE),
        "inverse": KlineConventions(opens_at_last_close=True, rounds_volume=True, note=_NOTE),
    },
    channel="kline.1",
)
