"""Korbit, from frames to records. The order of keys varies, so nothing depends on it."""

from functools import lru_cache
from typing import Final

from msgspec import Raw

from schemas.errors import DecodeError
from schemas.exchanges._common import (
    DATA_KINDS,
    FAILURES,
    RowIds,
    decoding,
    figure,
    fraction,
    full_levels,
    numbered,
    salvage,
    underscored,
)
from schemas.exchanges.korbit import wire
from schemas.feeds import Feed
from schemas.numbers import exact_product
from schemas.records import BookUpdate, Kind, TickerUpdate, Trade
from schemas.symbols import CACHED, spot
from schemas.times import ns_of_ms

EXCHANGE: Final = "korbit"


def kind(frame: bytes) -> Kind:
    """Return what the frame carries.

    Raises:
        DecodeError: It is not a message of Korbit.
    """
    with decoding(EXCHANGE):
        return _kind(wire.head.decode(frame))


def decode_trades(frame: bytes, feed: Feed) -> list[Trade]:
    """Return the trades of the frame, in its order; the body of a REST answer has no symbol."""
    try:
        return _trades_of(wire.trades.decode(frame))
    except FAILURES:
        pass
    with decoding(EXCHANGE):
        head = wire.head.decode(frame)
        if _kind(head) != "trade":
            return []
        return _salvaged_trades(wire.rows.decode(frame), feed, is_rest=head.type is None)


def decode_tickers(frame: bytes, feed: Feed) -> list[TickerUpdate]:
    """Return the ticker of the frame, full, or flattened by a collector."""
    with decoding(EXCHANGE):
        head = wire.head.decode(frame)
        if _kind(head) != "ticker":
            return []
        if head.type is not None:
            ticker = wire.ticker.decode(frame)
            return [_ticker_of(ticker.data, ticker.timestamp, symbol_of(ticker.symbol))]
        if feed.coin is None:
            raise DecodeError("expected `symbol`, or an envelope's symbol - at `$`")
        flat = wire.flat_ticker.decode(frame)
        return [_ticker_of(flat, flat.timestamp, spot(feed.coin, feed.quote))]


def decode_books(frame: bytes, feed: Feed) -> list[BookUpdate]:  # noqa: ARG001  # the interface's
    """Return the order book of the frame, whole."""
    with decoding(EXCHANGE):
        if _kind(wire.head.decode(frame)) != "orderbook":
            return []
        book = wire.book.decode(frame)
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


def _kind(head: wire.Head) -> Kind:
    if head.type is not None:
        return DATA_KINDS.get(head.type, "other")
    if head.status:
        return "control"
    if head.success is not None:
        return _rest_kind(head) if head.success else "control"
    if head.close:
        return "ticker"
    raise DecodeError("expected `type`, `status` or `success` - at `$`")


def _rest_kind(head: wire.Head) -> Kind:
    if bytes(head.data).startswith(b"{"):
        return "other"  # a book or a currency: this project reads only trades from REST
    rows = wire.rest_rows.decode(head.data)
    return "trade" if rows and (rows[0].taker_buys or rows[0].size) else "other"


@lru_cache(maxsize=CACHED)
def symbol_of(native_symbol: str) -> str:
    """Return the canonical symbol of a market, which Korbit writes in lower case.

    Raises:
        DecodeError: It is not two currencies with an underscore between them.
    """
    return underscored(native_symbol.upper())


def _trades_of(message: wire.Trades) -> list[Trade]:
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


def _salvaged_trades(body: wire.Rows, feed: Feed, *, is_rest: bool) -> list[Trade]:
    native_symbol = feed.native_symbol if is_rest else body.symbol
    if not native_symbol:
        raise DecodeError("expected the symbol in the record's key, like korbit.spot.btc_krw")
    symbol, ids = symbol_of(native_symbol), RowIds()

    def decode(raw: Raw) -> Trade | None:
        row = wire.rest_trade.decode(raw)
        if row.trade_id is None and not is_rest:
            raise DecodeError("Object missing required field `tradeId` - at `$`")
        return _rest_trade_of(row, symbol, ids) if row.size else None

    return salvage(numbered(body.data, "$.data"), decode)


def _rest_trade_of(row: wire.RestTrade, symbol: str, ids: RowIds) -> Trade:
    notional = exact_product(row.price, row.size)
    trade_id = row.trade_id
    side = "buy" if row.taker_buys else "sell"
    return Trade(
        symbol,
        # Documented bodies of older days have no ids.
        ids.next_id(str(row.timestamp), side, row.price, row.size)
        if trade_id is None
        else trade_id,
        ns_of_ms(row.timestamp),
        row.taker_buys,
        row.price,
        row.size,
        notional,
    )


def _ticker_of(figures: wire.Figures, timestamp: int | None, symbol: str) -> TickerUpdate:
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
