"""BitMEX: trades of perpetual, dated and spot markets. This project takes nothing else of it.

Facts: the `trade` table of the BitMEX WebSocket API and `GET /api/v1/trade`, whose rows are the
same. Sizes are contracts of several kinds (inverse, quanto, linear); the rows themselves say
what they are worth in base (`homeNotional`) and quote currency (`foreignNotional`).
"""

import calendar
import re
from datetime import date, timedelta
from decimal import Decimal
from functools import lru_cache
from typing import Final, Literal

import msgspec
from msgspec import Raw, field

from schemas import symbols
from schemas.errors import DecodeError
from schemas.exchanges._common import FAILURES, decoding, trade_id
from schemas.feeds import Feed
from schemas.numbers import exact_product
from schemas.records import BookUpdate, Kind, TickerUpdate, Trade
from schemas.times import ns_of_rfc3339

_QUOTES: Final = ("USDT", "USDC", "USD", "EUR", "XBT")
# Delivery months of futures, January to December.
_MONTHS: Final = "FGHJKMNQUVXZ"
_DATED: Final = re.compile(rf"([A-Z0-9]+?)(USDT|USDC|USD|EUR|XBT)?([{_MONTHS}])([0-9]{{2}})")
# Rows that are no executions: a contract's expiry, the price of an index.
_NO_TRADES: Final = frozenset({"Settlement", "Referential"})
_REGULAR: Final = "Regular"
_PONG: Final = b"pong"


class _Row(msgspec.Struct, gc=False):
    timestamp: str
    symbol: str
    side: Literal["Buy", "Sell"]
    price: Decimal
    trade_id: str = field(name="trdMatchID")
    base: Decimal = field(name="homeNotional")
    quote: Decimal = field(name="foreignNotional")
    trade_type: str = field(name="trdType", default=_REGULAR)


class _Table(msgspec.Struct, gc=False):
    table: Literal["trade"]
    action: Literal["partial", "insert"]
    data: list[_Row]


class _RawTable(msgspec.Struct, gc=False):
    table: Literal["trade"]
    action: Literal["partial", "insert"]
    data: list[Raw]


class _RowHead(msgspec.Struct, gc=False):
    """The fields that tell an execution from another row."""

    symbol: str
    side: str = ""
    trade_type: str = field(name="trdType", default="")


class _Head(msgspec.Struct, gc=False):
    """The fields that tell one object from another."""

    table: str = ""
    info: Raw = Raw()
    success: Raw = Raw()
    status: Raw = Raw()
    error: Raw = Raw()


_table: Final = msgspec.json.Decoder(_Table)
_raw_table: Final = msgspec.json.Decoder(_RawTable)
_raw_rows: Final = msgspec.json.Decoder(list[Raw])
_row: Final = msgspec.json.Decoder(_Row)
_row_head: Final = msgspec.json.Decoder(_RowHead)
_head: Final = msgspec.json.Decoder(_Head)


def kind(frame: bytes) -> Kind:
    """What the frame carries; `other` are books and quotes, which nobody here asks for.

    Raises:
        DecodeError: It is no message of BitMEX.
    """
    with decoding("bitmex"):
        return _kind(frame)


def decode_trades(frame: bytes, feed: Feed) -> list[Trade]:  # noqa: ARG001  # the interface
    """The executions of a `trade` table or of a REST body, in base and quote currency.

    Settlements and index prices are left out. The symbol says what the market is: XBTUSD is
    perpetual, XBTU21 expires on the last Friday of September 2021, XBT_USDT is spot.

    Raises:
        DecodeError: The frame is not understood.
    """
    try:
        return [_trade(row) for row in _table.decode(frame).data if _counts(row)]
    except FAILURES:
        pass  # a REST body, another message, or a broken one: the way below finds out which
    with decoding("bitmex"):
        if _kind(frame) != "trade":
            return []
        is_rest = frame.lstrip().startswith(b"[")
        rows = _raw_rows.decode(frame) if is_rest else _raw_table.decode(frame).data
        return [trade for at, row in enumerate(rows) for trade in _trades_of_row(row, at)]


def decode_tickers(frame: bytes, feed: Feed) -> list[TickerUpdate]:  # noqa: ARG001  # the interface
    """None: this project takes only trades of BitMEX."""
    return []


def decode_books(frame: bytes, feed: Feed) -> list[BookUpdate]:  # noqa: ARG001  # the interface
    """None: this project takes only trades of BitMEX."""
    return []


def _kind(frame: bytes) -> Kind:
    text = frame.strip()
    if text == _PONG:
        return "control"
    if text.startswith(b"["):
        return "trade" if _raw_rows.decode(frame) else "other"
    head = _head.decode(frame)
    if head.table:
        return "trade" if head.table == "trade" else "other"
    if any(map(bytes, (head.info, head.success, head.status, head.error))):
        return "control"
    raise DecodeError("expected a `table`, rows of trades or an answer")


def _counts(row: _Row) -> bool:
    return row.trade_type == _REGULAR or not _is_no_trade(row.symbol, row.trade_type)


def _is_no_trade(symbol: str, trade_type: str) -> bool:
    return trade_type in _NO_TRADES or symbol.startswith(".")


def _trades_of_row(row: Raw, at: int) -> list[Trade]:
    try:
        head = _row_head.decode(row)
        # Settlements have no side; before 2022 this was the only way to tell them.
        is_old_settlement = not (head.side or head.trade_type)
        if is_old_settlement or _is_no_trade(head.symbol, head.trade_type):
            return []
        return [_trade(_row.decode(row))]
    except FAILURES as error:
        raise DecodeError(f"row {at}: {error}") from error


def _trade(row: _Row) -> Trade:
    # For their checks: these are numbers of a market, whose sums will stay exact.
    exact_product(row.price, row.base)
    try:
        exact_product(row.quote, row.base)
    except DecodeError as error:
        raise DecodeError(f"foreignNotional as the {error}") from error
    return Trade(
        _symbol(row.symbol),
        trade_id(row.trade_id),
        ns_of_rfc3339(row.timestamp),
        row.side == "Buy",
        row.price,
        row.base,
        row.quote,
    )


@lru_cache(maxsize=symbols.CACHED)
def _symbol(native: str) -> str:
    base, underscore, quote = native.partition("_")
    if underscore and quote in _QUOTES:
        return symbols.spot(base, quote)
    matched = _DATED.fullmatch(native)
    if matched is not None:
        base, quote, month, year = matched.groups()
        # Without a quote currency, Bitcoin is quoted in US dollars, all else in Bitcoin.
        quote = quote or ("USD" if base == "XBT" else "XBT")
        return symbols.dated(base, quote, _last_friday(2000 + int(year), _MONTHS.index(month) + 1))
    for quote in _QUOTES:
        if native.endswith(quote) and native != quote:
            return symbols.perpetual(native.removesuffix(quote), quote)
    raise DecodeError(
        f"symbol {native[:40]!r}: expected a contract like XBTUSD or XBTU21, or XBT_USDT"
    )


def _last_friday(year: int, month: int) -> str:
    last_day = date(year, month, calendar.monthrange(year, month)[1])
    after_friday = timedelta(days=(last_day.weekday() - calendar.FRIDAY) % 7)
    return (last_day - after_friday).strftime("%y%m%d")
