"""Klines of Binance: stream `<symbol>@kline_1m` and `klines` over REST, spot and futures.

https://developers.binance.com/docs/binance-spot-api-docs/web-socket-streams
"""

from decimal import Decimal
from typing import Final

import msgspec

from schemas.exchanges._common import decoding
from schemas.exchanges._contracts import contract_size
from schemas.exchanges._klines import exact, minute_of, native_of
from schemas.exchanges.binance.names import symbol_of
from schemas.feeds import Feed
from schemas.histories import Market
from schemas.klines import Kline, KlineConventions, KlineSource
from schemas.times import NS_PER_MS, ns_of_ms


class _Bar(msgspec.Struct):
    """One minute, running or closed.

    `{"t":1626992700000,"T":1626992759999,"s":"CTKUSDT","i":"1m","f":23961275,"L":23961322,
    "o":"1.01000","c":"1.01100","h":"1.01100","l":"1.01000","v":"3917","n":48,"x":false,
    "q":"3957.89900","V":"1729","Q":"1748.01900","B":"0"}`
    """

    t: int
    s: str
    i: str
    o: Decimal
    c: Decimal
    h: Decimal
    l: Decimal  # noqa: E741  # the exchange's name
    v: Decimal
    n: int
    x: bool
    q: Decimal
    buy_v: Decimal = msgspec.field(name="V")
    buy_q: Decimal = msgspec.field(name="Q")


class _Event(msgspec.Struct):
    e: str = ""
    event_ms: int = msgspec.field(name="E", default=0)
    k: _Bar | None = None


class _Wrapped(msgspec.Struct):
    data: _Event | None = None
    e: str = ""
    event_ms: int = msgspec.field(name="E", default=0)
    k: _Bar | None = None


class _Row(msgspec.Struct, array_like=True):
    """One minute over REST; the last of the twelve is unused."""

    t: int
    o: Decimal
    h: Decimal
    l: Decimal  # noqa: E741  # the exchange's name
    c: Decimal
    v: Decimal
    close_ms: int
    q: Decimal
    n: int
    buy_v: Decimal
    buy_q: Decimal


_wrapped: Final = msgspec.json.Decoder(_Wrapped)
_rows: Final = msgspec.json.Decoder(list[_Row])


def decode_klines(frame: bytes, feed: Feed) -> list[Kline]:
    """Return the klines of a frame, WebSocket or REST."""
    with decoding("binance"):
        if frame.lstrip()[:1] == b"[":
            native = native_of(feed.native_symbol, "binance")
            return [
                _kline(_Bar(t=r.t, s=native, i="1m", o=r.o, c=r.c, h=r.h, l=r.l, v=r.v, n=r.n,
                            x=True, q=r.q, buy_v=r.buy_v, buy_q=r.buy_q), feed, None)
                for r in _rows.decode(frame)
            ]  # fmt: skip
        found = _wrapped.decode(frame)
        event = found.data or found
        if event.e != "kline" or event.k is None or event.k.i != "1m":
            return []
        return [_kline(event.k, feed, event.event_ms * NS_PER_MS)]


def _kline(bar: _Bar, feed: Feed, time_ns: int | None) -> Kline:
    volume, notional, buy_volume, buy_notional = bar.v, bar.q, bar.buy_v, bar.buy_q
    if feed.product == "inverse":
        # Contracts of so many dollars, and the base currency that they were worth.
        unit = contract_size(feed, bar.s, "_")
        volume, notional = bar.q, exact(bar.v, unit)
        buy_volume, buy_notional = bar.buy_q, exact(bar.buy_v, unit)
    return Kline(
        symbol=symbol_of(bar.s, feed),
        minute_s=minute_of(ns_of_ms(bar.t), "binance"),
        is_closed=bar.x,
        open=bar.o,
        high=bar.h,
        low=bar.l,
        close=bar.c,
        volume=volume,
        notional=notional,
        taker_buy_volume=buy_volume,
        taker_buy_notional=buy_notional,
        # Insurance and ADL trades have an id and are no trades of the feed.
        trade_count=bar.n if feed.trade_ids == "trade" else None,
        time_ns=time_ns,
    )


_ROOTS: Final = {"spot": "/api/v3", "linear": "/fapi/v1", "inverse": "/dapi/v1"}


def _request(market: Market, start_s: int, end_s: int) -> tuple[str, dict[str, str | int]]:
    return f"{_ROOTS[market.product]}/klines", {
        "symbol": market.native_symbol,
        "interval": "1m",
        "startTime": start_s * 1_000,
        "endTime": end_s * 1_000 - 1,
        "limit": (end_s - start_s) // 60,
    }


KLINES: Final = KlineSource(
    _request,
    max_minutes=1_000,
    conventions={
        "spot": KlineConventions(note="all trades of the order book"),
        "linear": KlineConventions(note="trades of the order book, without insurance and ADL"),
        "inverse": KlineConventions(
            rounds_volume=True, note="trades of the order book, without insurance and ADL"
        ),
    },
    channel="kline_1m",
)
