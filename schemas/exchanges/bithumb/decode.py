"""Bithumb, from frames to records: the current API in Upbit's format, and the legacy one."""

from typing import Final

from msgspec import Raw

from schemas.errors import DecodeError
from schemas.exchanges import _upbit_format
from schemas.exchanges._common import (
    FAILURES,
    RowIds,
    changed_levels,
    decoding,
    figure,
    fraction,
    full_levels,
    numbered,
    placed,
    salvage,
    underscored,
)
from schemas.exchanges.bithumb import wire
from schemas.feeds import Feed
from schemas.numbers import exact_product
from schemas.records import BookColumns, BookUpdate, Kind, TickerUpdate, Trade
from schemas.times import ns_of_kst, ns_of_us

EXCHANGE: Final = "bithumb"

_LEGACY_KINDS: Final[dict[str | None, Kind]] = {
    "ticker": "ticker",
    "transaction": "trade",
    "orderbookdepth": "orderbook",
    "orderbooksnapshot": "orderbook",
}


_LEGACY_TRADE: Final = b'{"type":"transaction",'


def kind(frame: bytes) -> Kind:
    """Return what the frame carries; of a LIST frame, what its first message is."""
    head = _legacy(frame)
    if head is None:
        return _upbit_format.kind(frame, EXCHANGE)
    return _LEGACY_KINDS.get(head.type, "other")


def decode_trades(frame: bytes, feed: Feed) -> list[Trade]:  # noqa: ARG001  # the interface's
    """Return the trades of the frame; legacy ones get an id made of their content."""
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
    """Return the tickers of the frame, full, or flattened by a collector."""
    head = _legacy(frame)
    if head is None:
        return _upbit_format.tickers(frame, feed)
    if head.type != "ticker":
        return []
    with decoding(EXCHANGE):
        ticker = wire.legacy_ticker.decode(frame).content
        # The other types are windows of half an hour to twelve hours.
        return [_ticker_of(ticker)] if ticker.tick_type in {"24H", "MID"} else []


def decode_books(frame: bytes, feed: Feed) -> list[BookUpdate]:  # noqa: ARG001  # the interface's
    """Return the order books of the frame: whole, but for the legacy `orderbookdepth`."""
    head = _legacy(frame)
    if head is None:
        return _upbit_format.books(frame, EXCHANGE)
    with decoding(EXCHANGE):
        if head.type == "orderbooksnapshot":
            return [_snapshot_of(wire.legacy_snapshot.decode(frame).content)]
        if head.type == "orderbookdepth":
            return _changes_of(wire.legacy_rows.decode(frame).content)
    return []


def decode_book_columns(frame: bytes) -> BookColumns | None:
    """Return the one order book of the frame, unchecked, or `None`."""
    return _upbit_format.book_columns(frame)


def _legacy(frame: bytes) -> wire.LegacyHead | None:
    """Return the head of a legacy message, or `None`."""
    if b'"content"' not in frame or frame.lstrip()[:1] == b"[":
        return None
    with decoding(EXCHANGE):
        head = wire.legacy_head.decode(frame)
    return head if head.content else None


def _legacy_trades_of(frame: bytes) -> list[Trade]:
    ids = RowIds()
    try:
        return [_trade_of(row, ids) for row in wire.legacy_trades.decode(frame).content.rows]
    except FAILURES:
        pass  # the slow way finds out which row it is
    ids = RowIds()

    def decode(raw: Raw) -> Trade | None:
        row = wire.legacy_trade.decode(raw)
        return _trade_of(row, ids) if row.size else None

    with decoding(EXCHANGE):
        rows = wire.legacy_rows.decode(frame).content.rows
        return salvage(numbered(rows, "$.content.list"), decode)


def _trade_of(row: wire.LegacyTrade, ids: RowIds) -> Trade:
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


def _ticker_of(row: wire.LegacyTicker) -> TickerUpdate:
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


def _snapshot_of(book: wire.LegacySnapshot) -> BookUpdate:
    return BookUpdate(
        symbol=underscored(book.symbol),
        time_ns=None if book.time_us is None else ns_of_us(book.time_us),
        is_snapshot=True,
        bids=full_levels(book.bids, "bids"),
        asks=full_levels(book.asks, "asks"),
    )


def _changes_of(changes: wire.LegacyRows) -> list[BookUpdate]:
    """Return one update for each symbol, in the order in which the symbols first appear."""
    rows: dict[str, list[tuple[int, Raw]]] = {}
    for at, raw in enumerate(changes.rows):
        rows.setdefault(_native_symbol(raw), []).append((at, raw))
    time_ns = None if changes.time_us is None else ns_of_us(changes.time_us)
    return salvage(
        (("$.content.list", found) for found in rows.values()),
        lambda found: _change_of(found, time_ns),
    )


def _native_symbol(raw: Raw) -> str:
    try:
        return wire.legacy_row.decode(raw).symbol
    except FAILURES:
        return ""


def _level(at: int, raw: Raw) -> wire.LegacyLevel:
    try:
        return wire.legacy_level.decode(raw)
    except FAILURES as error:
        raise DecodeError(placed(str(error), f"$[{at}]")) from error


def _change_of(rows: list[tuple[int, Raw]], time_ns: int | None) -> BookUpdate:
    levels = [_level(*row) for row in rows]
    bids = [(level.price, level.size) for level in levels if level.side == "bid"]
    asks = [(level.price, level.size) for level in levels if level.side == "ask"]
    return BookUpdate(
        symbol=underscored(levels[0].symbol),
        time_ns=time_ns,
        is_snapshot=False,
        bids=changed_levels(bids, "bids"),
        asks=changed_levels(asks, "asks"),
        # The snapshots are another channel, `orderbooksnapshot`.
        needs_snapshot=True,
    )
