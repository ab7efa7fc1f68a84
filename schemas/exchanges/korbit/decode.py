"""Korbit, since 2026 Digital X: version 2 of its API, WebSocket and REST.

Facts: https://docs.korbit.co.kr. The order of keys varies, so nothing may depend on it. Books
are whole each time; `snapshot` only marks the first frame. Numbers are strings.
"""

from decimal import Decimal
from functools import lru_cache
from typing import Final, Literal

import msgspec
from msgspec import Raw, field

from schemas.errors import DecodeError
from schemas.exchanges._common import (
    DATA_KINDS,
    FAILURES,
    RowIds,
    decoding,
    figure,
    fraction,
    full_levels,
    underscored,
)
from schemas.feeds import Feed
from schemas.numbers import exact_product
from schemas.records import BookUpdate, Kind, TickerUpdate, Trade
from schemas.symbols import CACHED, spot
from schemas.times import ns_of_ms

EXCHANGE: Final = "korbit"


class _Head(msgspec.Struct, gc=False):
    """What tells the messages apart; a collector's flattened ticker has only figures."""

    type: str | None = None
    status: Raw = Raw()
    success: bool | None = None
    data: Raw = Raw()
    close: Raw = Raw()


class _Trade(msgspec.Struct, gc=False):
    timestamp: int
    price: Decimal
    size: Decimal = field(name="qty")
    taker_buys: bool = field(name="isBuyerTaker")
    trade_id: int = field(name="tradeId")


class _Trades(msgspec.Struct, gc=False):
    type: Literal["trade"]
    symbol: str
    data: list[_Trade]


class _RestTrade(msgspec.Struct, gc=False):
    timestamp: int
    price: Decimal
    size: Decimal = field(name="qty")
    taker_buys: bool = field(name="isBuyerTaker")
    trade_id: int | None = field(name="tradeId", default=None)


class _RestTrades(msgspec.Struct, gc=False):
    data: list[_RestTrade]


class _RestRow(msgspec.Struct, gc=False):
    """What tells the rows of REST bodies apart."""

    taker_buys: Raw = field(name="isBuyerTaker", default=Raw())
    size: Raw = field(name="qty", default=Raw())


class _Figures(msgspec.Struct, gc=False):
    open: Raw = Raw()
    close: Raw = Raw()
    high: Raw = Raw()
    low: Raw = Raw()
    prev_close: Raw = field(name="prevClose", default=Raw())
    volume: Raw = Raw()
    change: Raw = field(name="priceChange", default=Raw())
    change_percent: Raw = field(name="priceChangePercent", default=Raw())


class _Ticker(msgspec.Struct, gc=False):
    symbol: str
    data: _Figures
    timestamp: int | None = None


class _FlatTicker(_Figures, gc=False):
    timestamp: int | None = None


class _Level(msgspec.Struct, gc=False):
    price: Decimal
    size: Decimal = field(name="qty")


class _Levels(msgspec.Struct, gc=False):
    asks: list[_Level]
    bids: list[_Level]
    timestamp: int | None = None


class _Book(msgspec.Struct, gc=False):
    symbol: str
    data: _Levels


_head: Final = msgspec.json.Decoder(_Head)
_trades: Final = msgspec.json.Decoder(_Trades)
_rest_trades: Final = msgspec.json.Decoder(_RestTrades)
_rest_rows: Final = msgspec.json.Decoder(list[_RestRow])
_ticker: Final = msgspec.json.Decoder(_Ticker)
_flat_ticker: Final = msgspec.json.Decoder(_FlatTicker)
_book: Final = msgspec.json.Decoder(_Book)


def kind(frame: bytes) -> Kind:
    """What the frame carries.

    Raises:
        DecodeError: It is not a message of Korbit.
    """
    with decoding(EXCHANGE):
        return _kind(_head.decode(frame))


def decode_trades(frame: bytes, feed: Feed) -> list[Trade]:
    """The trades of the frame, in its order; the body of a REST response has no symbol."""
    try:
        return _trades_of(_trades.decode(frame))
    except FAILURES:
        pass
    with decoding(EXCHANGE):
        head = _head.decode(frame)
        if _kind(head) != "trade":
            return []
        if head.type is None:
            return _rest_trades_of(_rest_trades.decode(frame), feed)
        return _trades_of(_trades.decode(frame))


def decode_tickers(frame: bytes, feed: Feed) -> list[TickerUpdate]:
    """The ticker of the frame, full, or flattened by a collector."""
    with decoding(EXCHANGE):
        head = _head.decode(frame)
        if _kind(head) != "ticker":
            return []
        if head.type is not None:
            ticker = _ticker.decode(frame)
            return [_ticker_of(ticker.data, ticker.timestamp, symbol_of(ticker.symbol))]
        if feed.coin is None:
            raise DecodeError("expected `symbol`, or an envelope's symbol - at `$`")
        flat = _flat_ticker.decode(frame)
        return [_ticker_of(flat, flat.timestamp, spot(feed.coin, feed.quote))]


def decode_books(frame: bytes, feed: Feed) -> list[BookUpdate]:  # noqa: ARG001  # the interface's
    """The order book of the frame, whole."""
    with decoding(EXCHANGE):
        if _kind(_head.decode(frame)) != "orderbook":
            return []
        book = _book.decode(frame)
        levels = book.data
        return [
            BookUpdate(
                symbol=symbol_of(book.symbol),
                time_ns=None if levels.timestamp is None else ns_of_ms(levels.timestamp),
                is_snapshot=True,
                bids=full_levels([(row.price, row.size) for row in levels.bids], "$.data.bids"),
                asks=full_levels([(row.price, row.size) for row in levels.asks], "$.data.asks"),
            )
        ]


def _kind(head: _Head) -> Kind:
    if head.type is not None:
        return DATA_KINDS.get(head.type, "other")
    if head.status:
        return "control"
    if head.success is not None:
        return _rest_kind(head) if head.success else "control"
    if head.close:
        return "ticker"
    raise DecodeError("expected `type`, `status` or `success` - at `$`")


def _rest_kind(head: _Head) -> Kind:
    if bytes(head.data).startswith(b"{"):
        return "other"  # a book or a currency: this project reads only trades from REST
    rows = _rest_rows.decode(head.data)
    return "trade" if rows and (rows[0].taker_buys or rows[0].size) else "other"


@lru_cache(maxsize=CACHED)
def symbol_of(native_symbol: str) -> str:
    """Return the canonical symbol of a market, which Korbit writes in lower case.

    Raises:
        DecodeError: It is not two currencies with an underscore between them.
    """
    return underscored(native_symbol.upper())


def _trades_of(message: _Trades) -> list[Trade]:
    symbol = symbol_of(message.symbol)
    return [
        Trade(
            symbol,
            row.trade_id,
            ns_of_ms(row.timestamp),
            row.taker_buys,
            row.price,
            row.size,
            exact_product(row.price, row.size),
        )
        for row in message.data
    ]


def _rest_trades_of(body: _RestTrades, feed: Feed) -> list[Trade]:
    if feed.native_symbol is None:
        raise DecodeError("expected the symbol in the record's key, like korbit.spot.btc_krw")
    symbol = symbol_of(feed.native_symbol)
    ids = RowIds()
    return [_rest_trade_of(row, symbol, ids) for row in body.data]


def _rest_trade_of(row: _RestTrade, symbol: str, ids: RowIds) -> Trade:
    notional = exact_product(row.price, row.size)
    time_ns = ns_of_ms(row.timestamp)
    trade_id = row.trade_id
    side = "buy" if row.taker_buys else "sell"
    return Trade(
        symbol=symbol,
        # Documented bodies of older days have no ids.
        trade_id=ids.next_id(str(row.timestamp), side, row.price, row.size)
        if trade_id is None
        else trade_id,
        time_ns=time_ns,
        taker_buys=row.taker_buys,
        price=row.price,
        size=row.size,
        notional=notional,
    )


def _ticker_of(figures: _Figures, timestamp: int | None, symbol: str) -> TickerUpdate:
    return TickerUpdate(
        symbol=symbol,
        time_ns=None if timestamp is None else ns_of_ms(timestamp),
        is_delta=False,
        opening_price=figure(figures.open, "$.data.open"),
        trade_price=figure(figures.close, "$.data.close"),
        max_price=figure(figures.high, "$.data.high"),
        min_price=figure(figures.low, "$.data.low"),
        prev_closing_price=figure(figures.prev_close, "$.data.prevClose"),
        acc_trade_volume_24h=figure(figures.volume, "$.data.volume"),
        signed_change_price=figure(figures.change, "$.data.priceChange"),
        signed_change_rate=fraction(figure(figures.change_percent, "$.data.priceChangePercent")),
    )
