"""Bithumb: the current API in Upbit's format, and the legacy one that still answers.

Facts: https://apidocs.bithumb.com/reference and, for the legacy API,
https://apidocs.bithumb.com/v1.2.0/reference and recorded traffic. A legacy
message keeps all it says under `content`, as strings; markets are `BTC_KRW` there, times Korean.
"""

from decimal import Decimal
from typing import Final, Generic, Literal, TypeVar

import msgspec
from msgspec import Raw, field

from schemas.exchanges import _upbit_format
from schemas.exchanges._common import (
    RowIds,
    changed_levels,
    decoding,
    figure,
    fraction,
    full_levels,
    underscored,
)
from schemas.feeds import Feed
from schemas.numbers import exact_product
from schemas.records import BookColumns, BookUpdate, Kind, Level, TickerUpdate, Trade
from schemas.times import ns_of_kst, ns_of_us

EXCHANGE: Final = "bithumb"

Content = TypeVar("Content")

_LEGACY_KINDS: Final[dict[str | None, Kind]] = {
    "ticker": "ticker",
    "transaction": "trade",
    "orderbookdepth": "orderbook",
    "orderbooksnapshot": "orderbook",
}


_LEGACY_TRADE: Final = b'{"type":"transaction",'


class _LegacyHead(msgspec.Struct, gc=False):
    type: str | None = None
    content: Raw = Raw()


class _LegacyTrade(msgspec.Struct, gc=False):
    symbol: str
    side: Literal["1", "2"] = field(name="buySellGb")
    price: Decimal = field(name="contPrice")
    size: Decimal = field(name="contQty")
    time: str = field(name="contDtm")


class _LegacyTrades(msgspec.Struct, gc=False):
    rows: list[_LegacyTrade] = field(name="list")


class _LegacyTicker(msgspec.Struct, gc=False):
    symbol: str
    tick_type: str = field(name="tickType")
    date: str
    time: str
    opening_price: Raw = field(name="openPrice", default=Raw())
    closing_price: Raw = field(name="closePrice", default=Raw())
    high_price: Raw = field(name="highPrice", default=Raw())
    low_price: Raw = field(name="lowPrice", default=Raw())
    prev_closing_price: Raw = field(name="prevClosePrice", default=Raw())
    volume: Raw = Raw()
    change_percent: Raw = field(name="chgRate", default=Raw())


class _LegacyLevel(msgspec.Struct, gc=False):
    symbol: str
    side: Literal["ask", "bid"] = field(name="orderType")
    price: Decimal
    size: Decimal = field(name="quantity")


class _LegacyChanges(msgspec.Struct, gc=False):
    rows: list[_LegacyLevel] = field(name="list")
    time_us: str | None = field(name="datetime", default=None)


class _LegacySnapshot(msgspec.Struct, gc=False):
    symbol: str
    asks: list[Level]
    bids: list[Level]
    time_us: str | None = field(name="datetime", default=None)


class _LegacyMessage(msgspec.Struct, Generic[Content], gc=False):
    content: Content


_legacy_head: Final = msgspec.json.Decoder(_LegacyHead)
_legacy_trades: Final = msgspec.json.Decoder(_LegacyMessage[_LegacyTrades])
_legacy_ticker: Final = msgspec.json.Decoder(_LegacyMessage[_LegacyTicker])
_legacy_changes: Final = msgspec.json.Decoder(_LegacyMessage[_LegacyChanges])
_legacy_snapshot: Final = msgspec.json.Decoder(_LegacyMessage[_LegacySnapshot])


def kind(frame: bytes) -> Kind:
    """What the frame carries; of a LIST frame, what its first message is."""
    head = _legacy(frame)
    if head is None:
        return _upbit_format.kind(frame, EXCHANGE)
    return _LEGACY_KINDS.get(head.type, "other")


def decode_trades(frame: bytes, feed: Feed) -> list[Trade]:  # noqa: ARG001  # the interface's
    """The trades of the frame, in its order. Legacy ones get an id made of their content."""
    if frame.startswith(_LEGACY_TRADE):
        return _legacy_trades_of(frame)
    # The current format knows no such type and finds nothing in it, so that the look for the
    # other generation costs a current trade no time.
    trades = _upbit_format.trades(frame, EXCHANGE)
    if trades:
        return trades
    head = _legacy(frame)
    return _legacy_trades_of(frame) if head and head.type == "transaction" else []


def decode_tickers(frame: bytes, feed: Feed) -> list[TickerUpdate]:
    """The tickers of the frame, full, or flattened by a collector."""
    head = _legacy(frame)
    if head is None:
        return _upbit_format.tickers(frame, feed)
    if head.type != "ticker":
        return []
    with decoding(EXCHANGE):
        ticker = _legacy_ticker.decode(frame).content
        # The other types are windows of half an hour to twelve hours.
        return [_ticker_of(ticker)] if ticker.tick_type in {"24H", "MID"} else []


def decode_books(frame: bytes, feed: Feed) -> list[BookUpdate]:  # noqa: ARG001  # the interface's
    """The order books of the frame: whole, but for the legacy `orderbookdepth`."""
    head = _legacy(frame)
    if head is None:
        return _upbit_format.books(frame, EXCHANGE)
    with decoding(EXCHANGE):
        if head.type == "orderbooksnapshot":
            return [_snapshot_of(_legacy_snapshot.decode(frame).content)]
        if head.type == "orderbookdepth":
            return _changes_of(_legacy_changes.decode(frame).content)
    return []


def decode_book_columns(frame: bytes) -> BookColumns | None:
    """The one order book of the frame, unchecked; `None` for any other frame."""
    return _upbit_format.book_columns(frame)


def _legacy(frame: bytes) -> _LegacyHead | None:
    """The head of a legacy message, `None` for any other."""
    if b'"content"' not in frame or frame.lstrip()[:1] == b"[":
        return None
    with decoding(EXCHANGE):
        head = _legacy_head.decode(frame)
    return head if head.content else None


def _legacy_trades_of(frame: bytes) -> list[Trade]:
    ids = RowIds()
    with decoding(EXCHANGE):
        return [_trade_of(row, ids) for row in _legacy_trades.decode(frame).content.rows]


def _trade_of(row: _LegacyTrade, ids: RowIds) -> Trade:
    notional = exact_product(row.price, row.size)
    return Trade(
        symbol=underscored(row.symbol),
        trade_id=ids.next_id(row.time, row.side, row.price, row.size),
        time_ns=ns_of_kst(row.time),
        taker_buys=row.side == "2",
        price=row.price,
        size=row.size,
        notional=notional,
    )


def _ticker_of(row: _LegacyTicker) -> TickerUpdate:
    return TickerUpdate(
        symbol=underscored(row.symbol),
        time_ns=ns_of_kst(f"{row.date} {row.time}"),
        is_delta=False,
        opening_price=figure(row.opening_price, "$.content.openPrice"),
        trade_price=figure(row.closing_price, "$.content.closePrice"),
        max_price=figure(row.high_price, "$.content.highPrice"),
        min_price=figure(row.low_price, "$.content.lowPrice"),
        prev_closing_price=figure(row.prev_closing_price, "$.content.prevClosePrice"),
        acc_trade_volume_24h=figure(row.volume, "$.content.volume"),
        # `chgAmt` is the change since the opening, not since the previous close: derive it.
        signed_change_price=None,
        signed_change_rate=fraction(figure(row.change_percent, "$.content.chgRate")),
    )


def _snapshot_of(book: _LegacySnapshot) -> BookUpdate:
    return BookUpdate(
        symbol=underscored(book.symbol),
        time_ns=None if book.time_us is None else ns_of_us(book.time_us),
        is_snapshot=True,
        bids=full_levels(book.bids, "bids"),
        asks=full_levels(book.asks, "asks"),
    )


def _changes_of(changes: _LegacyChanges) -> list[BookUpdate]:
    """One update a symbol, in the order in which the symbols first appear."""
    sides: dict[str, tuple[list[Level], list[Level]]] = {}
    for row in changes.rows:
        bids, asks = sides.setdefault(row.symbol, ([], []))
        (bids if row.side == "bid" else asks).append((row.price, row.size))
    time_ns = None if changes.time_us is None else ns_of_us(changes.time_us)
    return [
        BookUpdate(
            symbol=underscored(native_symbol),
            time_ns=time_ns,
            is_snapshot=False,
            bids=changed_levels(bids, "bids"),
            asks=changed_levels(asks, "asks"),
            # The snapshots are another channel, `orderbooksnapshot`.
            needs_snapshot=True,
        )
        for native_symbol, (bids, asks) in sides.items()
    ]
