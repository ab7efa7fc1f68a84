"""Klines of Gate: channels `spot.candlesticks`, `futures.candlesticks`, and their REST forms.

https://www.gate.com/docs/developers/apiv4/#market-candlesticks
"""

from decimal import Decimal
from typing import Final

import msgspec

from schemas.exchanges._common import decoding, underscored
from schemas.exchanges._contracts import contract_size
from schemas.exchanges._klines import exact, minute_of, native_of
from schemas.exchanges.gateio.names import contract_of
from schemas.feeds import Feed
from schemas.histories import Market
from schemas.klines import Kline, KlineConventions, KlineSource
from schemas.times import ns_of_seconds


class _Bar(msgspec.Struct):
    """One minute; `n` is `1m_BTC_USDT`.

    Spot: `{"t":"1606292580","v":"2362.32035","c":"19128.1","h":"19128.1","l":"19128.1",
    "o":"19128.1","n":"1m_BTC_USDT","a":"3.8283","w":true}`: `v` is quote, `a` base. Futures:
    `{"t":1545129300,"v":27525555,"c":"95.4","h":"96.9","l":"89.5","o":"94.3","n":"1m_BTC_USD"}`:
    `v` is contracts, `sum` the turnover where it is sent.
    """

    t: int | str
    v: Decimal
    c: Decimal
    h: Decimal
    l: Decimal  # noqa: E741  # the exchange's name
    o: Decimal
    n: str = ""
    a: Decimal | None = None
    w: bool = True
    sum: Decimal | None = None


class _Row(msgspec.Struct, array_like=True):
    """One minute of spot over REST: time, quote volume, close, high, low, open, base, closed."""

    t: str
    quote: Decimal
    c: Decimal
    h: Decimal
    l: Decimal  # noqa: E741  # the exchange's name
    o: Decimal
    base: Decimal
    closed: str = "true"


class _Frame(msgspec.Struct):
    channel: str = ""
    event: str = ""
    result: msgspec.Raw = msgspec.Raw()


_frame: Final = msgspec.json.Decoder(_Frame)
_bar: Final = msgspec.json.Decoder(_Bar)
_bars: Final = msgspec.json.Decoder(list[_Bar])
_rows: Final = msgspec.json.Decoder(list[_Row])


def decode_klines(frame: bytes, feed: Feed) -> list[Kline]:
    """Return the klines of a frame, WebSocket or REST."""
    with decoding("gateio"):
        if frame.lstrip()[:1] == b"[":
            return _rest(frame, feed)
        found = _frame.decode(frame)
        if found.event != "update" or not found.channel.endswith(".candlesticks"):
            return []
        is_list = bytes(found.result)[:1] == b"["
        bars = _bars.decode(found.result) if is_list else [_bar.decode(found.result)]
        return [_of_bar(bar, feed) for bar in bars if bar.n.startswith("1m_")]


def _rest(frame: bytes, feed: Feed) -> list[Kline]:
    native = native_of(feed.native_symbol, "gateio")
    if feed.product != "spot":
        bars = _bars.decode(frame)
        return [_of_bar(msgspec.structs.replace(bar, n=f"1m_{native}"), feed) for bar in bars]
    return [
        Kline(
            symbol=underscored(native),
            minute_s=minute_of(ns_of_seconds(row.t), "gateio"),
            is_closed=row.closed == "true",
            open=row.o,
            high=row.h,
            low=row.l,
            close=row.c,
            volume=row.base,
            notional=row.quote,
        )
        for row in _rows.decode(frame)
    ]


def _of_bar(bar: _Bar, feed: Feed) -> Kline:
    volume: Decimal | None
    notional: Decimal | None
    native = bar.n.removeprefix("1m_")
    if feed.product == "spot":
        symbol = underscored(native)
        volume, notional = bar.a, bar.v
    else:
        symbol = contract_of(native).symbol
        volume, notional = exact(bar.v, contract_size(feed, native, "_")), bar.sum
        if feed.product == "inverse":
            volume, notional = None, volume  # contracts of dollars; their base is not said
    return Kline(
        symbol=symbol,
        minute_s=minute_of(ns_of_seconds(bar.t), "gateio"),
        is_closed=bar.w,
        open=bar.o,
        high=bar.h,
        low=bar.l,
        close=bar.c,
        volume=volume,
        notional=notional,
    )


def _request(market: Market, start_s: int, end_s: int) -> tuple[str, dict[str, str | int]]:
    span: dict[str, str | int] = {"interval": "1m", "from": start_s, "to": end_s - 60}
    if market.product == "spot":
        return "/api/v4/spot/candlesticks", {"currency_pair": market.native_symbol, **span}
    settle = "btc" if market.product == "inverse" else "usdt"
    return f"/api/v4/futures/{settle}/candlesticks", {"contract": market.native_symbol, **span}


_FUTURES: Final = "contracts of the order book, liquidations too"

KLINES: Final = KlineSource(
    _request,
    max_minutes=1_000,
    conventions={
        "spot": KlineConventions(rounds_volume=True, note="all trades of the market"),
        "linear": KlineConventions(rounds_volume=True, note=_FUTURES),
        "inverse": KlineConventions(rounds_volume=True, note=_FUTURES),
    },
    channel="candlesticks",
)
