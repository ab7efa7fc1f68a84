"""The message format that Upbit designed and Bithumb took over, with the exchange as a parameter.

Facts: https://docs.upbit.com/kr/reference/websocket-guide and
https://apidocs.bithumb.com/reference/websocket. A message has long keys (DEFAULT) or short ones
(SIMPLE), comes alone or in an array (the LIST formats, REST), and names its market quote first:
`KRW-BTC`. Bodies of REST name the market `market` and have no type.
"""

from decimal import Decimal
from functools import lru_cache
from typing import Final, Literal, TypeAlias

import msgspec
from msgspec import Raw, field

from schemas.errors import DecodeError
from schemas.exchanges._common import (
    DATA_KINDS,
    FAILURES,
    counted_id,
    decoding,
    figure,
    full_levels,
    messages,
)
from schemas.feeds import Feed
from schemas.numbers import exact_product
from schemas.records import BookColumns, BookUpdate, Kind, TickerUpdate, Trade
from schemas.symbols import CACHED, spot
from schemas.times import ns_of_ms, ns_of_ms_or_us


class _Head(msgspec.Struct, gc=False):
    """What tells the messages apart; a collector's flattened ticker has none of the names."""

    type: str | None = None
    ty: str | None = None
    market: str | None = None
    status: Raw = Raw()
    error: Raw = Raw()
    ask_bid: Raw = Raw()
    sequential_id: Raw = Raw()
    opening_price: Raw = Raw()
    orderbook_units: Raw = Raw()


class _Trade(msgspec.Struct, gc=False):
    type: Literal["trade"]
    code: str
    trade_price: Decimal
    trade_volume: Decimal
    ask_bid: Literal["ASK", "BID"]
    trade_timestamp: int
    sequential_id: int | str


class _SimpleTrade(msgspec.Struct, gc=False):
    type: Literal["trade"] = field(name="ty")
    code: str = field(name="cd")
    trade_price: Decimal = field(name="tp")
    trade_volume: Decimal = field(name="tv")
    ask_bid: Literal["ASK", "BID"] = field(name="ab")
    trade_timestamp: int = field(name="ttms")
    sequential_id: int | str = field(name="sid")


class _RestTrade(msgspec.Struct, gc=False):
    code: str = field(name="market")
    trade_price: Decimal
    trade_volume: Decimal
    ask_bid: Literal["ASK", "BID"]
    trade_timestamp: int = field(name="timestamp")
    sequential_id: int | str


class _Ticker(msgspec.Struct, gc=False):
    code: str | None = None
    market: str | None = None
    timestamp: int | None = None
    opening_price: Raw = Raw()
    trade_price: Raw = Raw()
    high_price: Raw = Raw()
    low_price: Raw = Raw()
    prev_closing_price: Raw = Raw()
    acc_trade_volume_24h: Raw = Raw()
    signed_change_price: Raw = Raw()
    signed_change_rate: Raw = Raw()


class _SimpleTicker(msgspec.Struct, gc=False):
    code: str | None = field(name="cd", default=None)
    market: str | None = None
    timestamp: int | None = field(name="tms", default=None)
    opening_price: Raw = field(name="op", default=Raw())
    trade_price: Raw = field(name="tp", default=Raw())
    high_price: Raw = field(name="hp", default=Raw())
    low_price: Raw = field(name="lp", default=Raw())
    prev_closing_price: Raw = field(name="pcp", default=Raw())
    acc_trade_volume_24h: Raw = field(name="atv24h", default=Raw())
    signed_change_price: Raw = field(name="scp", default=Raw())
    signed_change_rate: Raw = field(name="scr", default=Raw())


class _Unit(msgspec.Struct, gc=False):
    ask_price: Decimal
    bid_price: Decimal
    ask_size: Decimal
    bid_size: Decimal


class _SimpleUnit(msgspec.Struct, gc=False):
    ask_price: Decimal = field(name="ap")
    bid_price: Decimal = field(name="bp")
    ask_size: Decimal = field(name="as")
    bid_size: Decimal = field(name="bs")


class _Book(msgspec.Struct, gc=False):
    orderbook_units: list[_Unit]
    code: str | None = None
    market: str | None = None
    timestamp: int | None = None


class _SimpleBook(msgspec.Struct, gc=False):
    orderbook_units: list[_SimpleUnit] = field(name="obu")
    code: str | None = field(name="cd", default=None)
    market: str | None = None
    timestamp: int | None = field(name="tms", default=None)


_TradeRow: TypeAlias = _Trade | _SimpleTrade | _RestTrade

DAYS_AND_TIMES: Final = (
    ("trade_date", "trade_time"),
    ("trade_date_utc", "trade_time_utc"),
    ("trade_date_kst", "trade_time_kst"),
    ("td", "ttm"),
    ("tdt", "ttm"),
)
"""The keys of a date and of the clock time after it, for replay."""

_BOOK: Final = b'{"type":"orderbook",'
_SIMPLE_BOOK: Final = b'{"ty":"orderbook",'

_head: Final = msgspec.json.Decoder(_Head)
_trade: Final = msgspec.json.Decoder(_Trade)
_simple_trade: Final = msgspec.json.Decoder(_SimpleTrade)
_rest_trade: Final = msgspec.json.Decoder(_RestTrade)
_ticker: Final = msgspec.json.Decoder(_Ticker)
_simple_ticker: Final = msgspec.json.Decoder(_SimpleTicker)
_book: Final = msgspec.json.Decoder(_Book)
_simple_book: Final = msgspec.json.Decoder(_SimpleBook)


def kind(frame: bytes, exchange: str) -> Kind:
    """What the frame carries; of an array, what its first message is.

    Raises:
        DecodeError: It is not a message of this format.
    """
    with decoding(exchange):
        for message in messages(frame):
            return _kind(_head.decode(message))
    return "control"  # the body of a REST response without rows


def trades(frame: bytes, exchange: str) -> list[Trade]:
    """The trades of the frame, in its order.

    Raises:
        DecodeError: It is not a message of this format, or its trade is broken.
    """
    try:
        # Where the type is not the first key, only speed is lost.
        decoder = _simple_trade if frame.startswith(b'{"ty"') else _trade
        return [_trade_of(decoder.decode(frame))]
    except FAILURES:
        pass
    with decoding(exchange):
        return [
            _trade_of(_row(message, head))
            for message in messages(frame)
            if _kind(head := _head.decode(message)) == "trade"
        ]


def tickers(frame: bytes, feed: Feed) -> list[TickerUpdate]:
    """The tickers of the frame, as the exchange sent them or flattened by a collector.

    Raises:
        DecodeError: It is not a message of this format, or its ticker is broken.
    """
    with decoding(feed.exchange):
        return [
            _ticker_of(_simple_ticker.decode(message) if head.ty else _ticker.decode(message), feed)
            for message in messages(frame)
            if _kind(head := _head.decode(message)) == "ticker"
        ]


def books(frame: bytes, exchange: str) -> list[BookUpdate]:
    """The order books of the frame, each of them whole.

    Raises:
        DecodeError: It is not a message of this format, or its book is broken.
    """
    try:
        row = _common_book(frame)
        if row is not None:
            return [_book_of(row)]
    except FAILURES:
        pass
    with decoding(exchange):
        return [
            _book_of(_simple_book.decode(message) if head.ty else _book.decode(message))
            for message in messages(frame)
            if _kind(head := _head.decode(message)) == "orderbook"
        ]


def book_columns(frame: bytes) -> BookColumns | None:
    """The order book of the frame as it was sent; `None` where the frame is anything else."""
    try:
        row = _common_book(frame)
        if row is None or not row.orderbook_units:
            return None
        units = row.orderbook_units
        return BookColumns(
            _symbol(row.code or ""),
            None if row.timestamp is None else ns_of_ms_or_us(row.timestamp),
            [unit.bid_price for unit in units],
            [unit.bid_size for unit in units],
            [unit.ask_price for unit in units],
            [unit.ask_size for unit in units],
        )
    except FAILURES:
        return None


def _common_book(frame: bytes) -> _Book | _SimpleBook | None:
    """The book of the frame that comes most often; `None` for one that takes a closer look."""
    # As with trades: where the type is not the first key, only speed is lost.
    if frame.startswith(_BOOK):
        return _book.decode(frame)
    if frame.startswith(_SIMPLE_BOOK):
        return _simple_book.decode(frame)
    return None


def _kind(head: _Head) -> Kind:
    name = head.type or head.ty
    if name is not None:
        return DATA_KINDS.get(name, "other")
    if head.status or head.error:
        return "control"
    if head.orderbook_units:
        return "orderbook"
    if head.opening_price:
        return "ticker"
    if head.sequential_id or head.ask_bid:
        return "trade"
    raise DecodeError("expected `type` or `ty` of ticker, trade or orderbook - at `$`")


def _row(message: bytes, head: _Head) -> _TradeRow:
    if head.type:
        return _trade.decode(message)
    return _simple_trade.decode(message) if head.ty else _rest_trade.decode(message)


def _trade_of(row: _TradeRow) -> Trade:
    sequential_id = row.sequential_id
    return Trade(
        _symbol(row.code),
        # Bithumb has sent it as a string, too.
        counted_id(sequential_id, "$.sequential_id")
        if isinstance(sequential_id, str)
        else sequential_id,
        ns_of_ms(row.trade_timestamp),
        # ASK is an order to sell that met a bid in the book: its taker sold.
        row.ask_bid == "BID",
        row.trade_price,
        row.trade_volume,
        exact_product(row.trade_price, row.trade_volume),
    )


def _ticker_of(row: _Ticker | _SimpleTicker, feed: Feed) -> TickerUpdate:
    native_symbol = row.code or row.market
    if native_symbol is None and feed.coin is None:
        raise DecodeError("expected `code`, `cd` or `market`, or an envelope's symbol - at `$`")
    return TickerUpdate(
        symbol=_symbol(native_symbol) if native_symbol else spot(feed.coin or "", feed.quote),
        time_ns=None if row.timestamp is None else ns_of_ms(row.timestamp),
        is_delta=False,
        opening_price=figure(row.opening_price, "$.opening_price"),
        trade_price=figure(row.trade_price, "$.trade_price"),
        max_price=figure(row.high_price, "$.high_price"),
        min_price=figure(row.low_price, "$.low_price"),
        prev_closing_price=figure(row.prev_closing_price, "$.prev_closing_price"),
        acc_trade_volume_24h=figure(row.acc_trade_volume_24h, "$.acc_trade_volume_24h"),
        signed_change_price=figure(row.signed_change_price, "$.signed_change_price"),
        signed_change_rate=figure(row.signed_change_rate, "$.signed_change_rate"),
    )


def _book_of(row: _Book | _SimpleBook) -> BookUpdate:
    native_symbol = row.code or row.market
    if native_symbol is None:
        raise DecodeError("expected `code`, `cd` or `market` - at `$`")
    units = row.orderbook_units
    return BookUpdate(
        symbol=_symbol(native_symbol),
        # Upbit sent microseconds for a while in August 2023, Bithumb does so always.
        time_ns=None if row.timestamp is None else ns_of_ms_or_us(row.timestamp),
        is_snapshot=True,
        bids=full_levels([(unit.bid_price, unit.bid_size) for unit in units], "bids"),
        asks=full_levels([(unit.ask_price, unit.ask_size) for unit in units], "asks"),
    )


@lru_cache(maxsize=CACHED)
def _symbol(native_symbol: str) -> str:
    quote, hyphen, base = native_symbol.partition("-")
    if not hyphen:
        raise DecodeError(f"market {native_symbol[:40]!r}: expected QUOTE-BASE, like KRW-BTC")
    return spot(base, quote)
