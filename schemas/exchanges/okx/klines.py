"""Klines of OKX: channel `candle1m` and `/api/v5/market/history-candles`.

https://www.okx.com/docs-v5/en/#order-book-trading-market-data-get-candlesticks-history
"""

from decimal import Decimal
from typing import Final

import msgspec

from schemas.exchanges._common import decoding
from schemas.exchanges._klines import minute_of, native_of
from schemas.exchanges.okx.names import market_of
from schemas.feeds import Feed
from schemas.histories import Market
from schemas.klines import Kline, KlineConventions, KlineSource
from schemas.times import ns_of_ms


class _Row(msgspec.Struct, array_like=True):
    """`["1597026360000","3.721","3.743","3.677","3.708","8422410","226.04","…","0"]`."""

    ts: str
    open: Decimal
    high: Decimal
    low: Decimal
    close: Decimal
    vol: Decimal
    """Contracts, or base currency for spot."""
    vol_ccy: Decimal
    """Base currency of contracts, or quote currency for spot."""
    vol_ccy_quote: Decimal
    confirm: str


class _Arg(msgspec.Struct):
    channel: str
    inst_id: str = msgspec.field(name="instId", default="")


class _Frame(msgspec.Struct):
    data: msgspec.Raw = msgspec.Raw()
    arg: _Arg | None = None
    event: str | None = None


_frame: Final = msgspec.json.Decoder(_Frame)
_rows: Final = msgspec.json.Decoder(list[_Row])


def decode_klines(frame: bytes, feed: Feed) -> list[Kline]:
    """Return the klines of a frame, WebSocket or REST."""
    with decoding("okx"):
        found = _frame.decode(frame)
        if found.event is not None or (found.arg and found.arg.channel != "candle1m"):
            return []
        native = found.arg.inst_id if found.arg else native_of(feed.native_symbol, "okx")
        market = market_of(native)
        return [
            Kline(
                symbol=market.symbol,
                minute_s=minute_of(ns_of_ms(row.ts), "okx"),
                is_closed=row.confirm == "1",
                open=row.open,
                high=row.high,
                low=row.low,
                close=row.close,
                volume=row.vol if market.product == "spot" else row.vol_ccy,
                notional=row.vol_ccy_quote,
            )
            for row in _rows.decode(found.data)
        ]


def _request(market: Market, start_s: int, end_s: int) -> tuple[str, dict[str, str | int]]:
    return "/api/v5/market/history-candles", {
        "instId": market.native_symbol,
        "bar": "1m",
        "after": end_s * 1_000,
        "before": start_s * 1_000 - 1,
        "limit": (end_s - start_s) // 60,
    }


_NOTE: Final = "all fills of the order book; block trades are not in it"

KLINES: Final = KlineSource(
    _request,
    max_minutes=100,
    conventions={
        "spot": KlineConventions(note=_NOTE),
        "linear": KlineConventions(rounds_volume=True, note=_NOTE),
        "inverse": KlineConventions(rounds_volume=True, note=_NOTE),
    },
    channel="candle1m",
)
