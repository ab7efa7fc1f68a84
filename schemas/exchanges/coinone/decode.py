"""Coinone, from frames to records: WebSocket in both formats, and the trades of REST."""

from collections.abc import Sequence
from decimal import Decimal
from typing import Final

from msgspec import Raw

from schemas.errors import DecodeError
from schemas.exchanges._common import (
    FAILURES,
    counted_id,
    decoding,
    figure,
    full_levels,
    numbered,
    salvage,
)
from schemas.exchanges.coinone import wire
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


def kind(frame: bytes) -> Kind:
    """Return what the frame carries.

    Raises:
        DecodeError: It is not a message of Coinone.
    """
    with decoding(EXCHANGE):
        return _kind(wire.head.decode(frame))


def decode_trades(frame: bytes, feed: Feed) -> list[Trade]:  # noqa: ARG001  # the interface's
    """Return the trades of the frame, in its order."""
    try:
        # Where the type is not the first key, only speed is lost.
        decoder = wire.short_trade if frame.startswith(b'{"r"') else wire.trade
        data = decoder.decode(frame).data
        return [_trade_of(data, spot(data.base, data.quote))]
    except FAILURES:
        pass
    with decoding(EXCHANGE):
        head = wire.head.decode(frame)
        return _trades_of(frame, head) if _kind(head) == "trade" else []


def decode_tickers(frame: bytes, feed: Feed) -> list[TickerUpdate]:
    """Return the ticker of the frame, full, or flattened by a collector."""
    with decoding(EXCHANGE):
        head = wire.head.decode(frame)
        if _kind(head) != "ticker":
            return []
        if head.response_type is None and head.short_type is None:
            if feed.coin is None:
                raise DecodeError("expected `target_currency`, or an envelope's symbol - at `$`")
            return [_ticker_of(wire.flat_ticker.decode(frame), spot(feed.coin, feed.quote))]
        data = (wire.short_ticker if head.short_type else wire.ticker).decode(frame).data
        return [_ticker_of(data, spot(data.base, data.quote))]


def decode_books(frame: bytes, feed: Feed) -> list[BookUpdate]:  # noqa: ARG001  # the interface's
    """Return the order book of the frame, whole, its asks in the wire's order: best price last."""
    with decoding(EXCHANGE):
        head = wire.head.decode(frame)
        if _kind(head) != "orderbook":
            return []
        return [_book_of((wire.short_book if head.short_type else wire.book).decode(frame).data)]


def _kind(head: wire.Head) -> Kind:
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


def _rest_kind(head: wire.Head) -> Kind:
    if head.result != "success":
        return "control"
    return "trade" if head.transactions else "other"


def _trades_of(frame: bytes, head: wire.Head) -> list[Trade]:
    if not head.transactions:
        data = (wire.short_trade if head.short_type else wire.trade).decode(frame).data
        symbol = spot(data.base, data.quote)
        return salvage([("$.data", data)], lambda row: _trade_of(row, symbol) if row.size else None)
    body = wire.rest_trades.decode(frame)
    symbol = spot(body.base, body.quote)

    def decode(raw: Raw) -> Trade | None:
        row = wire.rest_trade.decode(raw)
        return _trade_of(row, symbol) if row.size else None

    return salvage(numbered(body.transactions, "$.transactions"), decode)


def _trade_of(row: wire.AnyTrade, symbol: str) -> Trade:
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


def _ticker_of(figures: wire.AnyFigures, symbol: str) -> TickerUpdate:
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


def _book_of(book: wire.Book | wire.ShortBook) -> BookUpdate:
    return BookUpdate(
        symbol=spot(book.base, book.quote),
        time_ns=None if book.timestamp is None else ns_of_ms(book.timestamp),
        is_snapshot=True,
        bids=full_levels(_pairs(book.bids), "$.data.bids"),
        asks=full_levels(_pairs(book.asks), "$.data.asks"),
        sequence_rule="growing",
        last_id=counted_id(book.id, "$.data.id"),
    )


def _pairs(levels: Sequence[wire.Level | wire.ShortLevel]) -> list[tuple[Decimal, Decimal]]:
    return [(level.price, level.size) for level in levels]
