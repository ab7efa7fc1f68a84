"""Kraken spot: WebSocket v2 and v1, and REST, from frames to records.

Version 1 and REST name Bitcoin XBT and Dogecoin XDG, version 2 does not. Version 1 sends no trade
ids, so do not collect one market by both versions.
"""

from collections.abc import Iterator
from decimal import Decimal
from functools import lru_cache
from typing import Final

from msgspec import Raw

from schemas import symbols
from schemas.errors import DecodeError
from schemas.exchanges._common import (
    FAILURES,
    RowIds,
    are_figures,
    changed_levels,
    decoding,
    figure,
    fraction,
    full_levels,
    numbered,
    salvage,
)
from schemas.exchanges.kraken import wire
from schemas.feeds import Feed
from schemas.numbers import SUM, exact_product
from schemas.records import BookUpdate, Kind, Level, TickerUpdate, Trade
from schemas.times import ns_of_rfc3339, ns_of_seconds

DEPTHS: Final = (10, 25, 100, 500, 1000)
"""The levels a side that a subscription can ask for."""

V2_NAMES: Final = {"XBT": "BTC", "XDG": "DOGE"}
"""The name of a currency in version 2, by the one in version 1 and REST, where they differ."""

COMMON_NAMES: Final = {
    **V2_NAMES,
    # Terra's first chain kept its names here alone: https://support.kraken.com, "Terra".
    "LUNA": "LUNC",
    "LUNA2": "LUNA",
    "UST": "USTC",
}
"""The common name of a currency, by Kraken's own."""

_CHANNELS: Final[dict[str, Kind]] = {
    "trade": "trade",
    "ticker": "ticker",
    "book": "orderbook",
    "heartbeat": "control",
    "status": "control",
}
_HIGHEST_CHECKSUM: Final = 2**32 - 1
# [channel, payload, name, pair]; a book may have its asks and its bids in two payloads.
_V1_LENGTHS: Final = (4, 5)
# The time of a pair that was never traded.
_NEVER: Final = "1970-01-01T"
_SUBSCRIBED: Final = b'{"method":"subscribe"'

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


def kind(frame: bytes) -> Kind:
    """Return what the frame carries.

    Raises:
        DecodeError: It is no message of Kraken.
    """
    with decoding("kraken"):
        return _kind(frame)


def decode_trades(frame: bytes, feed: Feed) -> list[Trade]:
    """Return the trades of a `trade` frame of either version, or of a REST body.

    Raises:
        DecodeError: The frame is not understood.
    """
    try:
        if frame.startswith(b"{"):
            return [_v2_trade(row) for row in wire.v2_trades.decode(frame).data]
        return _v1_trades(wire.v1_trades.decode(frame))
    except FAILURES:
        pass  # another message, or one with an odd row: the way below finds out which
    with decoding("kraken"):
        if _kind(frame) != "trade":
            return []
        if _is_array(frame):
            return _salvaged_v1_trades(frame)
        if wire.head.decode(frame).channel:
            return salvage(numbered(wire.v2_rows.decode(frame).data, "$.data"), _v2_trade_of)
        return _rest_trades(frame, feed)


def decode_tickers(frame: bytes, feed: Feed) -> list[TickerUpdate]:
    """Return the tickers of either version, of REST, or flattened by a collector.

    The previous close is the price 24 hours ago; Kraken sends the difference to it, or the
    first price of the window.

    Raises:
        DecodeError: The frame is not understood.
    """
    tickers = tickers_fast(frame)
    return tickers_plain(frame, feed) if tickers is None else tickers


def tickers_fast(frame: bytes) -> list[TickerUpdate] | None:
    """Return the tickers of a version 2 frame whose figures are all there.

    Figures that are decoded as numbers and checked together take half the time of one by one.
    """
    if _is_array(frame):  # version 1: failing below would cost it a tenth
        return None
    try:
        return [_v2_whole_ticker(row) for row in wire.v2_whole_tickers.decode(frame).data]
    except FAILURES:
        return None


def tickers_plain(frame: bytes, feed: Feed) -> list[TickerUpdate]:
    """Return the tickers of any frame.

    Raises:
        DecodeError: The frame is not understood.
    """
    with decoding("kraken"):
        if _kind(frame) != "ticker":
            return []
        if _is_array(frame):
            elements = wire.array.decode(frame)
            return [_v1_ticker_update(symbol_of(wire.text.decode(elements[-1])), elements[1])]
        head = wire.head.decode(frame)
        if head.channel:
            rows = wire.v2_rows.decode(frame).data
            return salvage(
                numbered(rows, "$.data"),
                lambda row: _v2_ticker_update(wire.v2_ticker.decode(row), feed),
            )
        if bytes(head.result):
            return salvage(
                ((f"$.result.{pair:.40}", (pair, row)) for pair, row in _rest_pairs(frame)),
                lambda row: _v1_ticker_update(_rest_symbol(row[0], feed), row[1]),
            )
        return [_v2_ticker_update(wire.v2_ticker.decode(frame), feed)]


def decode_books(frame: bytes, feed: Feed) -> list[BookUpdate]:  # noqa: ARG001  # the interface
    """Return the books of a `book` frame of either version, levels in the order they were sent.

    Version 2 says how many levels a side it keeps in the answer to the subscription alone, which
    is an update without levels. A snapshot that has as many levels as can be asked for gets that
    depth, as long as no answer and no checksum says otherwise.

    Raises:
        DecodeError: The frame is not understood.
    """
    try:
        books = wire.v2_books.decode(frame)
        return [_v2_book_update(book, books.type == "snapshot") for book in books.data]
    except FAILURES:
        pass  # version 1, another message, or a broken one: the way below finds out which
    with decoding("kraken"):
        if frame.startswith(_SUBSCRIBED):
            return _subscribed(frame)
        if _kind(frame) != "orderbook":
            return []
        if _is_array(frame):
            return [_v1_book_update(wire.array.decode(frame))]
        rows = wire.v2_rows.decode(frame)
        if bytes(rows.type) not in (b'"snapshot"', b'"update"'):
            raise DecodeError("expected the type snapshot or update - at `$.type`")
        is_snapshot = bytes(rows.type) == b'"snapshot"'
        return salvage(
            numbered(rows.data, "$.data"),
            lambda row: _v2_book_update(wire.v2_book.decode(row), is_snapshot),
        )


def _is_array(frame: bytes) -> bool:
    return frame.lstrip()[:1] == b"["


def _kind(frame: bytes) -> Kind:
    if _is_array(frame):
        return _v1_kind(frame)
    head = wire.head.decode(frame)
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
    elements = wire.array.decode(frame)
    if len(elements) not in _V1_LENGTHS:
        raise DecodeError("expected [channel, payload, name, pair], with one or two payloads")
    name = wire.text.decode(elements[-2]).partition("-")[0]
    return _CHANNELS.get(name, "other")


def _rest_kind(frame: bytes) -> Kind:
    body = wire.rest.decode(frame)
    if body.error:
        return "control"
    # The ends of bars and spreads are numbers; only trades are paged by nanoseconds as text.
    if bytes(body.result.get("last", Raw())).startswith(b'"'):
        return "trade"
    bodies = [bytes(value).lstrip() for value in body.result.values()]
    if any(text.startswith(b"{") and b'"o"' in text for text in bodies):
        return "ticker"
    return "other"


def _rest_pairs(frame: bytes) -> Iterator[tuple[str, Raw]]:
    for pair, payload in wire.rest.decode(frame).result.items():
        if pair != "last":
            yield pair, payload


def _subscribed(frame: bytes) -> list[BookUpdate]:
    try:
        found = wire.subscription.decode(frame).result
    except FAILURES:
        return []  # of another channel, or refused
    return [
        BookUpdate(
            symbol=symbol_of(found.symbol),
            time_ns=None,
            is_snapshot=False,
            bids=[],
            asks=[],
            depth=_listed(found.depth),
            is_subscription=True,
        )
    ]


def _listed(depth: int) -> int:
    if depth not in DEPTHS:
        raise DecodeError(f"depth {depth}: expected one of {', '.join(map(str, DEPTHS))}")
    return depth


def _spot(base: str, quote: str) -> str:
    return symbols.spot(COMMON_NAMES.get(base, base), COMMON_NAMES.get(quote, quote))


@lru_cache(maxsize=symbols.CACHED)
def symbol_of(pair: str) -> str:
    """Return the canonical symbol of a pair with a slash, by either version's names.

    Raises:
        DecodeError: It is not two currencies with a slash between them.
    """
    base, slash, quote = pair.partition("/")
    if not slash:
        raise DecodeError(f"symbol {pair[:40]!r}: expected a pair like BTC/USD")
    return _spot(base, quote)


def _symbol_in(pair: str, feed: Feed) -> str:
    if pair or feed.native_symbol:
        return symbol_of(pair or feed.native_symbol or "")
    if feed.coin is None:
        raise DecodeError(
            "expected a symbol in the frame, in the record's key (kraken.spot.BTC/USD) or in its "
            "envelope"
        )
    return _spot(feed.coin, feed.quote)


def _rest_symbol(pair: str, feed: Feed) -> str:
    if feed.native_symbol and "/" in feed.native_symbol:
        return symbol_of(feed.native_symbol)
    return symbol_of(pair) if "/" in pair else _symbol_without_slash(pair)


@lru_cache(maxsize=symbols.CACHED)
def _symbol_without_slash(pair: str) -> str:
    base, quote = pair[:-4], pair[-4:]
    if quote in _PREFIXED and (base in _PREFIXED or base == "USDT"):
        return _spot(base[1:] if base in _PREFIXED else base, quote[1:])
    if not pair.endswith(_AMBIGUOUS) or pair in ("RLUSD", "PYUSD"):
        for name in _QUOTES:
            if pair.endswith(name) and len(pair) > len(name):
                return _spot(pair.removesuffix(name), name)
    raise DecodeError(
        f"symbol {pair[:40]!r}: expected a pair that ends in a known quote currency; name the "
        "pair with a slash in the record's key (kraken.spot.XRP/RLUSD)"
    )


def _v2_trade(row: wire.V2Trade) -> Trade:
    return Trade(
        symbol_of(row.symbol),
        row.trade_id,
        ns_of_rfc3339(row.timestamp),
        row.side == "buy",
        row.price,
        row.qty,
        exact_product(row.price, row.qty),
    )


def _v2_trade_of(raw: Raw) -> Trade | None:
    row = wire.v2_trade.decode(raw)
    return _v2_trade(row) if row.qty else None


def _v1_trades(frame: wire.V1Trades) -> list[Trade]:
    symbol, ids = symbol_of(frame.pair), RowIds()
    return [_v1_trade(row, symbol, ids) for row in frame.rows]


def _salvaged_v1_trades(frame: bytes) -> list[Trade]:
    elements = wire.array.decode(frame)
    symbol, ids = symbol_of(wire.text.decode(elements[-1])), RowIds()

    def decode(raw: Raw) -> Trade | None:
        row = wire.v1_trade.decode(raw)
        return _v1_trade(row, symbol, ids) if row.volume else None

    return salvage(numbered(wire.array.decode(elements[1]), "$[1]"), decode)


def _v1_trade(row: wire.V1Trade, symbol: str, ids: RowIds) -> Trade:
    notional = exact_product(row.price, row.volume)
    return Trade(
        symbol,
        ids.next_id(row.time, row.side, row.price, row.volume),
        ns_of_seconds(row.time),
        row.side == "b",
        row.price,
        row.volume,
        notional,
    )


def _rest_trades(frame: bytes, feed: Feed) -> list[Trade]:
    ids: dict[str, RowIds] = {}

    def decode(found: tuple[str, Raw]) -> Trade | None:
        pair, raw = found
        row = wire.rest_trade.decode(raw)
        if not row.volume:
            return None
        return _rest_trade(row, _rest_symbol(pair, feed), ids.setdefault(pair, RowIds()))

    return salvage(
        (
            (name, (pair, raw))
            for pair, rows in _rest_pairs(frame)
            for name, raw in numbered(wire.array.decode(rows), f"$.result.{pair:.40}")
        ),
        decode,
    )


def _rest_trade(row: wire.RestTrade, symbol: str, ids: RowIds) -> Trade:
    notional = exact_product(row.price, row.volume)
    return Trade(
        symbol,
        # Rows had no id before 2022.
        ids.next_id(str(row.time), row.side, row.price, row.volume)
        if row.trade_id is None
        else row.trade_id,
        ns_of_seconds(row.time),
        row.side == "b",
        row.price,
        row.volume,
        notional,
    )


def _v2_whole_ticker(row: wire.V2WholeTicker) -> TickerUpdate:
    last, change, percent = row.last, row.change, row.change_pct
    if row.timestamp.startswith(_NEVER):
        raise DecodeError("expected the time of a trade")
    if not are_figures((last, row.high, row.low, row.volume), change, percent):
        raise DecodeError("expected figures of a market")
    before = SUM.subtract(last, change)
    return TickerUpdate(
        symbol=symbol_of(row.symbol),
        time_ns=ns_of_rfc3339(row.timestamp),
        is_delta=False,
        opening_price=before,
        trade_price=last,
        max_price=row.high,
        min_price=row.low,
        prev_closing_price=before,
        acc_trade_volume_24h=row.volume,
        signed_change_price=change,
        signed_change_rate=fraction(percent),
    )


def _v2_ticker_update(row: wire.V2Ticker, feed: Feed) -> TickerUpdate:
    last, change = figure(row.last, "$.last"), figure(row.change, "$.change")
    before = None if last is None or change is None else SUM.subtract(last, change)
    stamped = row.timestamp is not None and not row.timestamp.startswith(_NEVER)
    return TickerUpdate(
        symbol=_symbol_in(row.symbol, feed),
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
    ticker = wire.v1_ticker.decode(payload)
    # REST has the opening price of today alone, both versions otherwise that of 24 hours as well.
    is_pair = bytes(ticker.opening).startswith(b"[")
    opening = (
        _last_of(wire.array.decode(ticker.opening), "$.o")
        if is_pair
        else figure(ticker.opening, "$.o")
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


def _v2_book_update(book: wire.V2Book, is_snapshot: bool) -> BookUpdate:  # noqa: FBT001  # it is the value
    levels = full_levels if is_snapshot else changed_levels
    size = max(len(book.bids), len(book.asks))
    is_full = is_snapshot and size in DEPTHS
    return BookUpdate(
        symbol=symbol_of(book.symbol),
        time_ns=None if book.timestamp is None else ns_of_rfc3339(book.timestamp),
        is_snapshot=is_snapshot,
        bids=levels([(level.price, level.qty) for level in book.bids], "$.bids"),
        asks=levels([(level.price, level.qty) for level in book.asks], "$.asks"),
        depth=size if is_full else None,
        deeper=_next_depth(size) if is_full else None,
        checksum=_in_32_bits(book.checksum),
    )


def _next_depth(size: int) -> int | None:
    return next((depth for depth in DEPTHS if depth > size), None)


def _v1_book_update(elements: list[Raw]) -> BookUpdate:
    parts = [wire.v1_book.decode(payload) for payload in elements[1:-2]]
    name, pair = wire.text.decode(elements[-2]), wire.text.decode(elements[-1])
    is_snapshot = any(part.all_asks is not None or part.all_bids is not None for part in parts)
    asks = [level for part in parts for level in part.all_asks or part.asks]
    bids = [level for part in parts for level in part.all_bids or part.bids]
    checksum = "".join(part.checksum for part in parts)
    time = max((level.time for level in (*asks, *bids)), default=None)
    return BookUpdate(
        symbol=symbol_of(pair),
        time_ns=None if time is None else ns_of_seconds(time),
        is_snapshot=is_snapshot,
        bids=_v1_levels(bids, is_snapshot, "bids"),
        asks=_v1_levels(asks, is_snapshot, "asks"),
        depth=_v1_depth(name),
        checksum=_v1_checksum(checksum) if checksum else None,
    )


def _v1_levels(rows: list[wire.V1Level], is_snapshot: bool, path: str) -> list[Level]:  # noqa: FBT001  # it is the value
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
