"""Kraken spot: WebSocket v2 (objects), WebSocket v1 (arrays) and REST.

Facts: docs.kraken.com, the pages of both WebSocket versions and of `/0/public/Trades` and
`/0/public/Ticker`. Version 1 and REST name Bitcoin XBT and Dogecoin XDG, version 2 does not.
Version 1 sends no trade ids, so do not collect one market by both versions.
"""

from collections.abc import Iterator
from decimal import Decimal
from functools import lru_cache
from typing import Final, Literal

import msgspec
from msgspec import Raw, field

from schemas import symbols
from schemas.errors import DecodeError
from schemas.exchanges._common import (
    FAILURES,
    RowIds,
    changed_levels,
    decoding,
    figure,
    fraction,
    full_levels,
)
from schemas.feeds import Feed
from schemas.numbers import SUM, exact_product
from schemas.records import BookUpdate, Kind, Level, TickerUpdate, Trade
from schemas.times import ns_of_rfc3339, ns_of_seconds

_CHANNELS: Final[dict[str, Kind]] = {
    "trade": "trade",
    "ticker": "ticker",
    "book": "orderbook",
    "heartbeat": "control",
    "status": "control",
}
# What a subscription can ask for; version 2 does not repeat it in its frames.
DEPTHS: Final = (10, 25, 100, 500, 1000)
_HIGHEST_CHECKSUM: Final = 2**32 - 1
# [channel, payload, name, pair]; a book may have its asks and its bids in two payloads.
_V1_LENGTHS: Final = (4, 5)
# The time of a pair that was never traded.
_NEVER: Final = "1970-01-01T"

# REST names without a slash: the oldest currencies have a prefix, X of a coin, Z of money.
_PREFIXED: Final = frozenset(
    (
        *("XXBT", "XETH", "XLTC", "XXRP", "XXLM", "XXMR", "XZEC", "XETC", "XREP", "XMLN", "XXDG"),
        *("ZUSD", "ZEUR", "ZGBP", "ZCAD", "ZJPY", "ZAUD"),
    )
)
_QUOTES: Final = (
    *("USDT", "USDC"),
    *("USD", "EUR", "GBP", "CAD", "JPY", "AUD", "CHF", "AED", "XBT", "ETH", "DAI", "DOT"),
)
# XRPRLUSD is XRP/RLUSD and PEARLUSD would be PEARL/USD: only the name with a slash can tell.
_AMBIGUOUS: Final = ("RLUSD", "PYUSD")


class _V2Trade(msgspec.Struct, gc=False):
    symbol: str
    side: Literal["buy", "sell"]
    price: Decimal
    qty: Decimal
    trade_id: int
    timestamp: str


class _V2Trades(msgspec.Struct, gc=False):
    channel: Literal["trade"]
    data: list[_V2Trade]


class _V1Trade(msgspec.Struct, array_like=True, gc=False):
    price: Decimal
    volume: Decimal
    time: str
    side: Literal["b", "s"]


class _V1Trades(msgspec.Struct, array_like=True, gc=False):
    channel_id: int
    rows: list[_V1Trade]
    name: Literal["trade"]
    pair: str


class _RestTrade(msgspec.Struct, array_like=True, gc=False):
    price: Decimal
    volume: Decimal
    time: Decimal
    side: Literal["b", "s"]
    order_type: str = ""
    misc: str = ""
    trade_id: int | None = None


class _V2Ticker(msgspec.Struct, gc=False):
    symbol: str = ""
    last: Raw = Raw()
    high: Raw = Raw()
    low: Raw = Raw()
    volume: Raw = Raw()
    change: Raw = Raw()
    change_pct: Raw = Raw()
    timestamp: str | None = None


class _V2Tickers(msgspec.Struct, gc=False):
    channel: Literal["ticker"]
    data: list[_V2Ticker]


class _V1Ticker(msgspec.Struct, gc=False):
    """Each a pair of numbers, of today and of 24 hours; `last` is price and volume."""

    last: list[Raw] = field(name="c")
    volume: list[Raw] = field(name="v")
    low: list[Raw] = field(name="l")
    high: list[Raw] = field(name="h")
    opening: Raw = field(name="o")
    """In REST one number, of today."""


class _V2Level(msgspec.Struct, gc=False):
    price: Decimal
    qty: Decimal


class _V2Book(msgspec.Struct, gc=False):
    symbol: str
    bids: list[_V2Level]
    asks: list[_V2Level]
    checksum: int
    timestamp: str | None = None


class _V2Books(msgspec.Struct, gc=False):
    channel: Literal["book"]
    type: Literal["snapshot", "update"]
    data: list[_V2Book]


class _V1Level(msgspec.Struct, array_like=True, gc=False):
    price: Decimal
    volume: Decimal
    time: str


class _V1Book(msgspec.Struct, gc=False):
    all_asks: list[_V1Level] | None = field(name="as", default=None)
    all_bids: list[_V1Level] | None = field(name="bs", default=None)
    asks: list[_V1Level] = field(name="a", default_factory=list)
    bids: list[_V1Level] = field(name="b", default_factory=list)
    checksum: str = field(name="c", default="")


class _Head(msgspec.Struct, gc=False):
    """The fields that tell one object from another."""

    channel: str = ""
    method: Raw = Raw()
    event: Raw = Raw()
    error: Raw = Raw()
    result: Raw = Raw()
    last: Raw = Raw()
    change_pct: Raw = Raw()


class _Rest(msgspec.Struct, gc=False):
    error: list[str]
    result: dict[str, Raw] = {}


_v2_trades: Final = msgspec.json.Decoder(_V2Trades)
_v1_trades: Final = msgspec.json.Decoder(_V1Trades)
_rest_trades: Final = msgspec.json.Decoder(list[_RestTrade])
_v2_tickers: Final = msgspec.json.Decoder(_V2Tickers)
_v1_ticker: Final = msgspec.json.Decoder(_V1Ticker)
_flat_ticker: Final = msgspec.json.Decoder(_V2Ticker)
_v2_books: Final = msgspec.json.Decoder(_V2Books)
_v1_book: Final = msgspec.json.Decoder(_V1Book)
_rest: Final = msgspec.json.Decoder(_Rest)
_head: Final = msgspec.json.Decoder(_Head)
_array: Final = msgspec.json.Decoder(list[Raw])
_text: Final = msgspec.json.Decoder(str)


def kind(frame: bytes) -> Kind:
    """What the frame carries.

    Raises:
        DecodeError: It is no message of Kraken.
    """
    with decoding("kraken"):
        return _kind(frame)


def decode_trades(frame: bytes, feed: Feed) -> list[Trade]:
    """The trades of a `trade` frame of either version, or of a REST body of recent trades.

    Raises:
        DecodeError: The frame is not understood.
    """
    try:
        if frame.startswith(b"{"):
            return [_v2_trade(row) for row in _v2_trades.decode(frame).data]
        return _v1_trade_rows(_v1_trades.decode(frame))
    except FAILURES:
        pass  # another message, or a broken one: the way below finds out which
    with decoding("kraken"):
        if _kind(frame) != "trade":
            return []
        if _is_array(frame):
            return _v1_trade_rows(_v1_trades.decode(frame))
        if _head.decode(frame).channel:
            return [_v2_trade(row) for row in _v2_trades.decode(frame).data]
        return [
            trade
            for pair, rows in _rest_pairs(frame)
            for trade in _rest_trade_rows(pair, rows, feed)
        ]


def decode_tickers(frame: bytes, feed: Feed) -> list[TickerUpdate]:
    """The tickers of a `ticker` frame of either version, of REST, or flattened by a collector.

    The previous close is the price 24 hours ago; Kraken sends the difference to it, or the
    first price of the window.

    Raises:
        DecodeError: The frame is not understood.
    """
    with decoding("kraken"):
        if _kind(frame) != "ticker":
            return []
        if _is_array(frame):
            elements = _array.decode(frame)
            return [_v1_ticker_update(_symbol(_text.decode(elements[-1])), elements[1])]
        head = _head.decode(frame)
        if head.channel:
            return [_v2_ticker_update(row, feed) for row in _v2_tickers.decode(frame).data]
        if bytes(head.result):
            return [
                _v1_ticker_update(_rest_symbol(pair, feed), payload)
                for pair, payload in _rest_pairs(frame)
            ]
        return [_v2_ticker_update(_flat_ticker.decode(frame), feed)]


def decode_books(frame: bytes, feed: Feed) -> list[BookUpdate]:  # noqa: ARG001  # the interface
    """The books of a `book` frame of either version, levels in the order they were sent.

    Version 2 does not say how many levels a side the subscription keeps: a snapshot's `depth`
    is the smallest possible one that holds its levels, an update has none.

    Raises:
        DecodeError: The frame is not understood.
    """
    try:
        books = _v2_books.decode(frame)
        return [_v2_book_update(book, books.type == "snapshot") for book in books.data]
    except FAILURES:
        pass  # version 1, another message, or a broken one: the way below finds out which
    with decoding("kraken"):
        if _kind(frame) != "orderbook":
            return []
        if _is_array(frame):
            return [_v1_book_update(_array.decode(frame))]
        books = _v2_books.decode(frame)
        return [_v2_book_update(book, books.type == "snapshot") for book in books.data]


def _is_array(frame: bytes) -> bool:
    return frame.lstrip()[:1] == b"["


def _kind(frame: bytes) -> Kind:
    if _is_array(frame):
        return _v1_kind(frame)
    head = _head.decode(frame)
    if head.channel:
        return _CHANNELS.get(head.channel, "other")
    if bytes(head.method) or bytes(head.event):
        return "control"
    if bytes(head.error) or bytes(head.result):
        return _rest_kind(frame)
    if bytes(head.last) or bytes(head.change_pct):
        return "ticker"  # flattened by a collector
    raise DecodeError("expected a `channel`, a `method`, an `event` or the `result` of a request")


def _v1_kind(frame: bytes) -> Kind:
    elements = _array.decode(frame)
    if len(elements) not in _V1_LENGTHS:
        raise DecodeError("expected [channel, payload, name, pair], with one or two payloads")
    name = _text.decode(elements[-2]).partition("-")[0]
    return _CHANNELS.get(name, "other")


def _rest_kind(frame: bytes) -> Kind:
    body = _rest.decode(frame)
    if body.error:
        return "control"
    # The ends of bars and spreads are numbers; only trades are paged by nanoseconds as text.
    if bytes(body.result.get("last", Raw())).startswith(b'"'):
        return "trade"
    bodies = [bytes(value).lstrip() for value in body.result.values()]
    if bodies and all(text.startswith(b"{") and b'"o"' in text for text in bodies):
        return "ticker"
    return "other"


def _rest_pairs(frame: bytes) -> Iterator[tuple[str, Raw]]:
    for pair, payload in _rest.decode(frame).result.items():
        if pair != "last":
            yield pair, payload


@lru_cache(maxsize=symbols.CACHED)
def _symbol(pair: str) -> str:
    base, slash, quote = pair.partition("/")
    if not slash:
        raise DecodeError(f"symbol {pair[:40]!r}: expected a pair like BTC/USD")
    return symbols.spot(base, quote)


def _symbol_of(pair: str, feed: Feed) -> str:
    if pair or feed.native_symbol:
        return _symbol(pair or feed.native_symbol or "")
    if feed.coin is None:
        raise DecodeError(
            "expected a symbol in the frame, in the record's key (kraken.spot.BTC/USD) or in its "
            "envelope"
        )
    return symbols.spot(feed.coin, feed.quote)


def _rest_symbol(pair: str, feed: Feed) -> str:
    if feed.native_symbol and "/" in feed.native_symbol:
        return _symbol(feed.native_symbol)
    return _symbol(pair) if "/" in pair else _symbol_without_slash(pair)


@lru_cache(maxsize=symbols.CACHED)
def _symbol_without_slash(pair: str) -> str:
    base, quote = pair[:-4], pair[-4:]
    if quote in _PREFIXED and (base in _PREFIXED or base == "USDT"):
        return symbols.spot(base[1:] if base in _PREFIXED else base, quote[1:])
    if not pair.endswith(_AMBIGUOUS) or pair in ("RLUSD", "PYUSD"):
        for name in _QUOTES:
            if pair.endswith(name) and len(pair) > len(name):
                return symbols.spot(pair.removesuffix(name), name)
    raise DecodeError(
        f"symbol {pair[:40]!r}: expected a pair that ends in a known quote currency; name the "
        "pair with a slash in the record's key (kraken.spot.XRP/RLUSD)"
    )


def _v2_trade(row: _V2Trade) -> Trade:
    return Trade(
        _symbol(row.symbol),
        row.trade_id,
        ns_of_rfc3339(row.timestamp),
        row.side == "buy",
        row.price,
        row.qty,
        exact_product(row.price, row.qty),
    )


def _v1_trade_rows(frame: _V1Trades) -> list[Trade]:
    symbol, ids = _symbol(frame.pair), RowIds()
    return [
        Trade(
            symbol,
            ids.next_id(row.time, row.side, row.price, row.volume),
            ns_of_seconds(row.time),
            row.side == "b",
            row.price,
            row.volume,
            exact_product(row.price, row.volume),
        )
        for row in frame.rows
    ]


def _rest_trade_rows(pair: str, payload: Raw, feed: Feed) -> list[Trade]:
    symbol, ids = _rest_symbol(pair, feed), RowIds()
    return [
        Trade(
            symbol,
            # Rows had no id before 2022.
            ids.next_id(str(row.time), row.side, row.price, row.volume)
            if row.trade_id is None
            else row.trade_id,
            ns_of_seconds(row.time),
            row.side == "b",
            row.price,
            row.volume,
            exact_product(row.price, row.volume),
        )
        for row in _rest_trades.decode(payload)
    ]


def _v2_ticker_update(row: _V2Ticker, feed: Feed) -> TickerUpdate:
    last, change = figure(row.last, "$.last"), figure(row.change, "$.change")
    before = None if last is None or change is None else SUM.subtract(last, change)
    stamped = row.timestamp is not None and not row.timestamp.startswith(_NEVER)
    return TickerUpdate(
        symbol=_symbol_of(row.symbol, feed),
        time_ns=ns_of_rfc3339(row.timestamp or "") if stamped else None,
        is_delta=False,
        opening_price=before,
        trade_price=last,
        max_price=figure(row.high, "$.high"),
        min_price=figure(row.low, "$.low"),
        prev_closing_price=before,
        acc_trade_volume_24h=figure(row.volume, "$.volume"),
        signed_change_price=change,
        signed_change_rate=fraction(figure(row.change_pct, "$.change_pct")),
    )


def _v1_ticker_update(symbol: str, payload: Raw) -> TickerUpdate:
    ticker = _v1_ticker.decode(payload)
    # REST has the opening price of today alone, both versions otherwise that of 24 hours as well.
    is_pair = bytes(ticker.opening).startswith(b"[")
    opening = (
        _last_of(_array.decode(ticker.opening), "$.o") if is_pair else figure(ticker.opening, "$.o")
    )
    return TickerUpdate(
        symbol=symbol,
        time_ns=None,
        is_delta=False,
        opening_price=opening,
        trade_price=figure(ticker.last[0], "$.c[0]") if ticker.last else None,
        max_price=_last_of(ticker.high, "$.h"),
        min_price=_last_of(ticker.low, "$.l"),
        prev_closing_price=opening,
        acc_trade_volume_24h=_last_of(ticker.volume, "$.v"),
    )


def _last_of(today_and_24h: list[Raw], path: str) -> Decimal | None:
    if len(today_and_24h) != len(("today", "24h")):
        raise DecodeError(f"{path}: expected two numbers, of today and of 24 hours")
    return figure(today_and_24h[1], f"{path}[1]")


def _v2_book_update(book: _V2Book, is_snapshot: bool) -> BookUpdate:  # noqa: FBT001
    levels = full_levels if is_snapshot else changed_levels
    size = max(len(book.bids), len(book.asks))
    return BookUpdate(
        symbol=_symbol(book.symbol),
        time_ns=None if book.timestamp is None else ns_of_rfc3339(book.timestamp),
        is_snapshot=is_snapshot,
        bids=levels([(level.price, level.qty) for level in book.bids], "$.bids"),
        asks=levels([(level.price, level.qty) for level in book.asks], "$.asks"),
        depth=next((depth for depth in DEPTHS if depth >= size), None) if is_snapshot else None,
        checksum=_in_32_bits(book.checksum),
    )


def _v1_book_update(elements: list[Raw]) -> BookUpdate:
    parts = [_v1_book.decode(payload) for payload in elements[1:-2]]
    name, pair = _text.decode(elements[-2]), _text.decode(elements[-1])
    is_snapshot = any(part.all_asks is not None or part.all_bids is not None for part in parts)
    asks = [level for part in parts for level in part.all_asks or part.asks]
    bids = [level for part in parts for level in part.all_bids or part.bids]
    checksum = "".join(part.checksum for part in parts)
    time = max((level.time for level in (*asks, *bids)), default=None)
    return BookUpdate(
        symbol=_symbol(pair),
        time_ns=None if time is None else ns_of_seconds(time),
        is_snapshot=is_snapshot,
        bids=_v1_levels(bids, is_snapshot, "bids"),
        asks=_v1_levels(asks, is_snapshot, "asks"),
        depth=_v1_depth(name),
        checksum=_v1_checksum(checksum) if checksum else None,
    )


def _v1_levels(rows: list[_V1Level], is_snapshot: bool, path: str) -> list[Level]:  # noqa: FBT001
    levels = full_levels if is_snapshot else changed_levels
    return levels([(row.price, row.volume) for row in rows], path)


def _v1_depth(name: str) -> int:
    depth = name.removeprefix("book-")
    if depth not in map(str, DEPTHS):
        raise DecodeError(f"channel {name[:40]!r}: expected book-10, -25, -100, -500 or -1000")
    return int(depth)


def _v1_checksum(text: str) -> int:
    if len(text) > len(str(_HIGHEST_CHECKSUM)) or not (text.isascii() and text.isdigit()):
        raise DecodeError(f"checksum {text[:40]!r}: expected 32 bits as decimal digits")
    return _in_32_bits(int(text))


def _in_32_bits(checksum: int) -> int:
    if not 0 <= checksum <= _HIGHEST_CHECKSUM:
        raise DecodeError(f"checksum {checksum!s:.40}: expected 0 to {_HIGHEST_CHECKSUM}")
    return checksum
