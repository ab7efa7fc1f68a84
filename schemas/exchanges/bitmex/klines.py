"""Klines of BitMEX: `/api/v1/trade/bucketed`, stamped by the END of their minute.

https://www.bitmex.com/api/explorer/#!/Trade/Trade_getBucketed
"""

from decimal import Decimal
from typing import Final

import msgspec

from schemas.exchanges._common import decoding
from schemas.exchanges._klines import minute_of
from schemas.exchanges.bitmex.decode import symbol_of
from schemas.feeds import Feed
from schemas.histories import Market, iso_text
from schemas.klines import Kline, KlineConventions, KlineSource
from schemas.times import NS_PER_MINUTE, NS_PER_SECOND, ns_of_rfc3339


class _Bucket(msgspec.Struct):
    """One minute.

    `{"timestamp":"2021-07-22T22:26:00.000Z","symbol":"XBTUSD","open":32296.5,"high":32296.5,
    "low":32262,"close":32262.5,"trades":52,"volume":121900,"vwap":32280.5,"lastSize":100,
    "turnover":377627200,"homeNotional":3.776272,"foreignNotional":121900}`
    """

    timestamp: str
    symbol: str
    open: Decimal | None = None
    high: Decimal | None = None
    low: Decimal | None = None
    close: Decimal | None = None
    trades: int = 0
    home_notional: Decimal | None = msgspec.field(name="homeNotional", default=None)
    foreign_notional: Decimal | None = msgspec.field(name="foreignNotional", default=None)


_buckets: Final = msgspec.json.Decoder(list[_Bucket])


def decode_klines(frame: bytes, feed: Feed) -> list[Kline]:
    """Return the klines of a frame, WebSocket or REST."""
    del feed
    with decoding("bitmex"):
        return [_kline(bucket) for bucket in _buckets.decode(frame)]


def _kline(bucket: _Bucket) -> Kline:
    end_ns = ns_of_rfc3339(bucket.timestamp)
    has_trades = bucket.trades > 0
    return Kline(
        symbol=symbol_of(bucket.symbol),
        minute_s=minute_of(end_ns - NS_PER_MINUTE, "bitmex"),
        high=bucket.high if has_trades else None,
        low=bucket.low if has_trades else None,
        close=bucket.close if has_trades else None,
        open=bucket.open if has_trades else None,
        volume=bucket.home_notional,
        notional=bucket.foreign_notional,
        trade_count=bucket.trades,
    )


def _request(market: Market, start_s: int, end_s: int) -> tuple[str, dict[str, str | int]]:
    return "/api/v1/trade/bucketed", {
        "symbol": market.native_symbol,
        "binSize": "1m",
        "startTime": iso_text((start_s + 60) * NS_PER_SECOND),
        "endTime": iso_text(end_s * NS_PER_SECOND),
        "count": (end_s - start_s) // 60,
    }


_COUNTS: Final = KlineConventions(
    opens_at_last_close=True,
    rounds_volume=True,
    note="regular trades and liquidations; the open is the last close",
)

KLINES: Final = KlineSource(
    _request,
    max_minutes=1_000,
    conventions={"linear": _COUNTS, "inverse": _COUNTS},
)
