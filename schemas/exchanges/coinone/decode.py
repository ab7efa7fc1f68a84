"""Coinone: its public WebSocket in both formats, and the trades of its REST API.

Facts: https://docs.coinone.co.kr/reference/public-websocket-1. A message has long keys (DEFAULT)
or short ones (SHORT). Books are whole each time, their asks come with the best price last.
"""

from collections.abc import Sequence
from decimal import Decimal
from typing import Final, Literal, TypeAlias

import msgspec
from msgspec import Raw, field

from schemas.errors import DecodeError
from schemas.exchanges._common import FAILURES, counted_id, decoding, figure, full_levels
from schemas.feeds import Feed
from schemas.numbers import exact_product
from schemas.records import BookUpdate, Kind, TickerUpdate, Trade
from schemas.symbols import spot
from schemas.times import ns_of_ms

EXCHANGE: Final = "coinone"

_CHANNELS: Final[dict[str, Kind]] = {
    "TRADE": "trade",
    "TICKER": "ticker",
    "ORDERBOOK": "orderbook",
}


class _Head(msgspec.Struct, gc=False):
    """What tells the messages apart; a collector's flattened ticker has only figures."""

    response_type: str | None = None
    short_type: str | None = field(name="r", default=None)
    channel: str | None = None
    short_channel: str | None = field(name="c", default=None)
    result: str | None = None
    transactions: Raw = Raw()
    last: Raw = Raw()


class _RestTrade(msgspec.Struct, gc=False):
    id: str
    timestamp: int
    price: Decimal
    size: Decimal = field(name="qty")
    seller_is_maker: bool = field(name="is_seller_maker")


class _Trade(_RestTrade, gc=False):
    quote: str = field(name="quote_currency")
    base: str = field(name="target_currency")


class _ShortTrade(msgspec.Struct, gc=False):
    id: str = field(name="i")
    timestamp: int = field(name="t")
    price: Decimal = field(name="p")
    size: Decimal = field(name="q")
    seller_is_maker: bool = field(name="sm")
    quote: str = field(name="qc")
    base: str = field(name="tc")


class _TradeMessage(msgspec.Struct, gc=False):
    response_type: Literal["DATA"]
    channel: Literal["TRADE"]
    data: _Trade


class _ShortTradeMessage(msgspec.Struct, gc=False):
    response_type: Literal["DATA"] = field(name="r")
    channel: Literal["TRADE"] = field(name="c")
    data: _ShortTrade = field(name="d")


class _RestTrades(msgspec.Struct, gc=False):
    quote: str = field(name="quote_currency")
    base: str = field(name="target_currency")
    transactions: list[_RestTrade]


class _Figures(msgspec.Struct, gc=False):
    timestamp: int | None = None
    first: Raw = Raw()
    last: Raw = Raw()
    high: Raw = Raw()
    low: Raw = Raw()
    yesterday_last: Raw = Raw()
    volume: Raw = field(name="target_volume", default=Raw())


class _Ticker(_Figures, gc=False, kw_only=True):
    quote: str = field(name="quote_currency")
    base: str = field(name="target_currency")


class _ShortTicker(msgspec.Struct, gc=False):
    quote: str = field(name="qc")
    base: str = field(name="tc")
    timestamp: int | None = field(name="t", default=None)
    first: Raw = field(name="fi", default=Raw())
    last: Raw = field(name="la", default=Raw())
    high: Raw = field(name="hi", default=Raw())
    low: Raw = field(name="lo", default=Raw())
    yesterday_last: Raw = field(name="yla", default=Raw())
    volume: Raw = field(name="tv", default=Raw())


class _TickerMessage(msgspec.Struct, gc=False):
    data: _Ticker


class _ShortTickerMessage(msgspec.Struct, gc=False):
    data: _ShortTicker = field(name="d")


class _Level(msgspec.Struct, gc=False):
    price: Decimal
    size: Decimal = field(name="qty")


class _ShortLevel(msgspec.Struct, gc=False):
    price: Decimal = field(name="p")
    size: Decimal = field(name="q")


class _Book(msgspec.Struct, gc=False):
    quote: str = field(name="quote_currency")
    base: str = field(name="target_currency")
    id: str
    asks: list[_Level]
    bids: list[_Level]
    timestamp: int | None = None


class _ShortBook(msgspec.Struct, gc=False):
    quote: str = field(name="qc")
    base: str = field(name="tc")
    id: str = field(name="i")
    asks: list[_ShortLevel] = field(name="a")
    bids: list[_ShortLevel] = field(name="b")
    timestamp: int | None = field(name="t", default=None)


class _BookMessage(msgspec.Struct, gc=False):
    data: _Book


class _ShortBookMessage(msgspec.Struct, gc=False):
    data: _ShortBook = field(name="d")


_AnyTrade: TypeAlias = _RestTrade | _ShortTrade
_AnyFigures: TypeAlias = _Figures | _ShortTicker

_head: Final = msgspec.json.Decoder(_Head)
_trade: Final = msgspec.json.Decoder(_TradeMessage)
_short_trade: Final = msgspec.json.Decoder(_ShortTradeMessage)
_rest_trades: Final = msgspec.json.Decoder(_RestTrades)
_ticker: Final = msgspec.json.Decoder(_TickerMessage)
_short_ticker: Final = msgspec.json.Decoder(_ShortTickerMessage)
_flat_ticker: Final = msgspec.json.Decoder(_Figures)
_book: Final = msgspec.json.Decoder(_BookMessage)
_short_book: Final = msgspec.json.Decoder(_ShortBookMessage)


def kind(frame: bytes) -> Kind:
    """What the frame carries.

    Raises:
        DecodeError: It is not a message of Coinone.
    """
    with decoding(EXCHANGE):
        return _kind(_head.decode(frame))


def decode_trades(frame: bytes, feed: Feed) -> list[Trade]:  # noqa: ARG001  # the interface's
    """The trades of the frame, in its order."""
    try:
        # Where the type is not the first key, only speed is lost.
        decoder = _short_trade if frame.startswith(b'{"r"') else _trade
        data = decoder.decode(frame).data
        return [_trade_of(data, spot(data.base, data.quote))]
    except FAILURES:
        pass
    with decoding(EXCHANGE):
        head = _head.decode(frame)
        return _trades_of(frame, head) if _kind(head) == "trade" else []


def decode_tickers(frame: bytes, feed: Feed) -> list[TickerUpdate]:
    """The ticker of the frame, full, or flattened by a collector."""
    with decoding(EXCHANGE):
        head = _head.decode(frame)
        if _kind(head) != "ticker":
            return []
        if head.response_type is None and head.short_type is None:
            if feed.coin is None:
                raise DecodeError("expected `target_currency`, or an envelope's symbol - at `$`")
            return [_ticker_of(_flat_ticker.decode(frame), spot(feed.coin, feed.quote))]
        data = (_short_ticker if head.short_type else _ticker).decode(frame).data
        return [_ticker_of(data, spot(data.base, data.quote))]


def decode_books(frame: bytes, feed: Feed) -> list[BookUpdate]:  # noqa: ARG001  # the interface's
    """The order book of the frame, whole, its asks in the wire's order: best price last."""
    with decoding(EXCHANGE):
        head = _head.decode(frame)
        if _kind(head) != "orderbook":
            return []
        return [_book_of((_short_book if head.short_type else _book).decode(frame).data)]


def _kind(head: _Head) -> Kind:
    response_type = head.response_type or head.short_type
    if response_type == "DATA":
        channel = head.channel or head.short_channel
        if channel is None:
            raise DecodeError("expected `channel` or `c` - at `$`")
        return _CHANNELS.get(channel, "other")
    if response_type is not None:
        return "control"
    if head.result is not None:
        return _rest_kind(head)
    if head.last:
        return "ticker"
    raise DecodeError("expected `response_type`, `r` or `result` - at `$`")


def _rest_kind(head: _Head) -> Kind:
    if head.result != "success":
        return "control"
    return "trade" if head.transactions else "other"


def _trades_of(frame: bytes, head: _Head) -> list[Trade]:
    if head.transactions:
        body = _rest_trades.decode(frame)
        symbol = spot(body.base, body.quote)
        return [_trade_of(row, symbol) for row in body.transactions]
    data = (_short_trade if head.short_type else _trade).decode(frame).data
    return [_trade_of(data, spot(data.base, data.quote))]


def _trade_of(row: _AnyTrade, symbol: str) -> Trade:
    return Trade(
        symbol,
        counted_id(row.id, "$.data.id"),
        ns_of_ms(row.timestamp),
        # The seller was the maker, so the buyer took.
        row.seller_is_maker,
        row.price,
        row.size,
        exact_product(row.price, row.size),
    )


def _ticker_of(figures: _AnyFigures, symbol: str) -> TickerUpdate:
    return TickerUpdate(
        symbol=symbol,
        time_ns=None if figures.timestamp is None else ns_of_ms(figures.timestamp),
        is_delta=False,
        opening_price=figure(figures.first, "$.data.first"),
        trade_price=figure(figures.last, "$.data.last"),
        max_price=figure(figures.high, "$.data.high"),
        min_price=figure(figures.low, "$.data.low"),
        prev_closing_price=figure(figures.yesterday_last, "$.data.yesterday_last"),
        acc_trade_volume_24h=figure(figures.volume, "$.data.target_volume"),
    )


def _book_of(book: _Book | _ShortBook) -> BookUpdate:
    return BookUpdate(
        symbol=spot(book.base, book.quote),
        time_ns=None if book.timestamp is None else ns_of_ms(book.timestamp),
        is_snapshot=True,
        bids=full_levels(_pairs(book.bids), "$.data.bids"),
        asks=full_levels(_pairs(book.asks), "$.data.asks"),
        sequence_rule="growing",
        last_id=counted_id(book.id, "$.data.id"),
    )


def _pairs(levels: Sequence[_Level | _ShortLevel]) -> list[tuple[Decimal, Decimal]]:
    return [(level.price, level.size) for level in levels]
