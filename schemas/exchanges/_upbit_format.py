"""The message format that Upbit designed and Bithumb took over, with the exchange as a parameter.

Facts: https://docs.upbit.com/kr/reference/websocket-guide and
https://apidocs.bithumb.com/reference/websocket. A message has long keys (DEFAULT) or short ones
(SIMPLE), comes alone or in an array (the LIST formats, REST), and names its market quote first:
`KRW-BTC`. Bodies of REST name the market `market` and have no type.
"""

from functools import lru_cache
from typing import Final

from schemas.errors import DecodeError
from schemas.exchanges import _upbit_wire as wire
from schemas.exchanges._common import (
    DATA_KINDS,
    FAILURES,
    are_figures,
    counted_id,
    decoding,
    figure,
    full_levels,
    messages,
    numbered,
    salvage,
)
from schemas.feeds import Feed
from schemas.numbers import exact_product
from schemas.records import BookColumns, BookUpdate, Kind, TickerUpdate, Trade
from schemas.symbols import CACHED, spot
from schemas.times import ns_of_ms, ns_of_ms_or_us

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


def kind(frame: bytes, exchange: str) -> Kind:
    """Return what the frame carries; of an array, what its first message is.

    Raises:
        DecodeError: It is not a message of this format.
    """
    with decoding(exchange):
        for message in messages(frame):
            return _kind(wire.head.decode(message))
    return "control"  # the body of a REST response without rows


def trades(frame: bytes, exchange: str) -> list[Trade]:
    """Return the trades of the frame, in its order.

    Raises:
        DecodeError: It is not a message of this format, or its trade is broken.
    """
    try:
        # Where the type is not the first key, only speed is lost.
        decoder = wire.simple_trade if frame.startswith(b'{"ty"') else wire.trade
        return [_trade_of(decoder.decode(frame))]
    except FAILURES:
        pass
    with decoding(exchange):
        return salvage(_of_kind(frame, "trade"), _salvaged_trade)


def tickers(frame: bytes, feed: Feed) -> list[TickerUpdate]:
    """Return the tickers of the frame, as the exchange sent them or flattened by a collector.

    Raises:
        DecodeError: It is not a message of this format, or its ticker is broken.
    """
    found = tickers_fast(frame)
    return tickers_plain(frame, feed) if found is None else found


def tickers_fast(frame: bytes) -> list[TickerUpdate] | None:
    """Return the ticker of a frame with long keys whose figures are all there.

    Figures that are decoded as numbers and checked together take half the time of one by one.
    """
    try:
        row = wire.whole_ticker.decode(frame)
        return [_whole_ticker_of(row)]
    except FAILURES:
        return None


def tickers_plain(frame: bytes, feed: Feed) -> list[TickerUpdate]:
    """Return the tickers of any frame.

    Raises:
        DecodeError: It is not a message of this format, or its ticker is broken.
    """
    with decoding(feed.exchange):
        return salvage(_of_kind(frame, "ticker"), lambda row: _salvaged_ticker(row, feed))


def books(frame: bytes, exchange: str) -> list[BookUpdate]:
    """Return the order books of the frame, each of them whole.

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
        return salvage(_of_kind(frame, "orderbook"), _salvaged_book)


def book_columns(frame: bytes) -> BookColumns | None:
    """Return the order book of the frame as it was sent, or `None`."""
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


def _of_kind(frame: bytes, kind: Kind) -> list[tuple[str, bytes]]:
    """Return the messages of the frame that carry this, and those that nobody understands."""
    if frame.lstrip()[:1] != b"[":
        return [("$", frame)] if _kind(wire.head.decode(frame)) == kind else []
    found = numbered(messages(frame), "$")
    return [(name, message) for name, message in found if _kind_or(message, kind) == kind]


def _kind_or(message: bytes, default: Kind) -> Kind:
    try:
        return _kind(wire.head.decode(message))
    except FAILURES:
        return default


def _salvaged_trade(message: bytes) -> Trade | None:
    row = _row(message, wire.head.decode(message))
    return _trade_of(row) if row.trade_volume else None


def _salvaged_ticker(message: bytes, feed: Feed) -> TickerUpdate:
    is_simple = wire.head.decode(message).ty
    return _ticker_of((wire.simple_ticker if is_simple else wire.ticker).decode(message), feed)


def _salvaged_book(message: bytes) -> BookUpdate:
    is_simple = wire.head.decode(message).ty
    return _book_of((wire.simple_book if is_simple else wire.book).decode(message))


def _common_book(frame: bytes) -> wire.Book | wire.SimpleBook | None:
    """Return the book of a frame as most are, or `None` for one that takes a closer look."""
    # As with trades: where the type is not the first key, only speed is lost.
    if frame.startswith(_BOOK):
        return wire.book.decode(frame)
    if frame.startswith(_SIMPLE_BOOK):
        return wire.simple_book.decode(frame)
    return None


def _kind(head: wire.Head) -> Kind:
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


def _row(message: bytes, head: wire.Head) -> wire.TradeRow:
    if head.type:
        return wire.trade.decode(message)
    return wire.simple_trade.decode(message) if head.ty else wire.rest_trade.decode(message)


def _trade_of(row: wire.TradeRow) -> Trade:
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


def _whole_ticker_of(row: wire.WholeTicker) -> TickerUpdate:
    opening, last, high, low = row.opening_price, row.trade_price, row.high_price, row.low_price
    previous, volume = row.prev_closing_price, row.acc_trade_volume_24h
    change, rate = row.signed_change_price, row.signed_change_rate
    if not are_figures((opening, last, high, low, previous, volume), change, rate):
        raise DecodeError("expected figures of a market")
    return TickerUpdate(
        symbol=_symbol(row.code),
        time_ns=ns_of_ms(row.timestamp),
        is_delta=False,
        opening_price=opening,
        trade_price=last,
        max_price=high,
        min_price=low,
        prev_closing_price=previous,
        acc_trade_volume_24h=volume,
        signed_change_price=change,
        signed_change_rate=rate,
    )


def _ticker_of(row: wire.Ticker | wire.SimpleTicker, feed: Feed) -> TickerUpdate:
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


def _book_of(row: wire.Book | wire.SimpleBook) -> BookUpdate:
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
