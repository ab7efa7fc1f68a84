"""BitMEX, from frames to trades. This project takes nothing else of it.

Sizes are contracts of several kinds (inverse, quanto, linear); the rows themselves say what they
are worth in base (`homeNotional`) and quote currency (`foreignNotional`).
"""

import calendar
import re
from datetime import date, timedelta
from functools import lru_cache
from typing import Final

from msgspec import Raw

from schemas import symbols
from schemas.errors import DecodeError
from schemas.exchanges._common import FAILURES, decoding, numbered, salvage, trade_id
from schemas.exchanges.bitmex import wire
from schemas.feeds import Feed
from schemas.numbers import exact_product
from schemas.records import Kind, Trade
from schemas.times import ns_of_rfc3339

COMMON_NAMES: Final = {"XBT": "BTC"}
"""The common name of a currency, by BitMEX's own."""

_QUOTES: Final = ("USDT", "USDC", "USD", "EUR", "XBT")
# Delivery months of futures, January to December.
_MONTHS: Final = "FGHJKMNQUVXZ"
_DATED: Final = re.compile(rf"([^\W_]+?)(USDT|USDC|USD|EUR|XBT)?([{_MONTHS}])([0-9]{{2}})")
# Rows that are no executions: a contract's expiry, the price of an index.
_NO_TRADES: Final = frozenset({"Settlement", "Referential"})
_ZERO: Final = b"0"
_PONG: Final = b"pong"


def kind(frame: bytes) -> Kind:
    """Return what the frame carries; `other` are books and quotes, which nobody here asks for.

    Raises:
        DecodeError: It is no message of BitMEX.
    """
    with decoding("bitmex"):
        return _kind(frame)


def decode_trades(frame: bytes, feed: Feed) -> list[Trade]:  # noqa: ARG001  # the interface
    """Return the executions of a `trade` table or of a REST body, in base and quote currency.

    Settlements, index prices and rows of size zero are left out.

    Raises:
        DecodeError: The frame is not understood.
    """
    try:
        return [_trade(row) for row in wire.table.decode(frame).data if _counts(row)]
    except FAILURES:
        pass  # a REST body, another message, or an odd row: the way below finds out which
    with decoding("bitmex"):
        if _kind(frame) != "trade":
            return []
        is_rest = frame.lstrip().startswith(b"[")
        rows = wire.raw_rows.decode(frame) if is_rest else wire.raw_table.decode(frame).data
        return salvage(numbered(rows, "$" if is_rest else "$.data"), _trade_of)


def _kind(frame: bytes) -> Kind:
    text = frame.strip()
    if text == _PONG:
        return "control"
    if text.startswith(b"["):
        return "trade" if wire.raw_rows.decode(frame) else "other"
    head = wire.head.decode(frame)
    if head.table:
        return "trade" if head.table == "trade" else "other"
    if any(map(bytes, (head.info, head.success, head.status, head.error))):
        return "control"
    raise DecodeError("expected a `table`, rows of trades or an answer")


def _counts(row: wire.Row) -> bool:
    return row.trade_type == wire.REGULAR or not _is_no_trade(row.symbol, row.trade_type)


def _is_no_trade(symbol: str, trade_type: str) -> bool:
    return trade_type in _NO_TRADES or symbol.startswith(".")


def _trade_of(raw: Raw) -> Trade | None:
    head = wire.row_head.decode(raw)
    # Settlements have no side; before 2022 this was the only way to tell them.
    is_old_settlement = not (head.side or head.trade_type)
    if is_old_settlement or _is_no_trade(head.symbol, head.trade_type):
        return None
    return None if bytes(head.size) == _ZERO else _trade(wire.row.decode(raw))


def _trade(row: wire.Row) -> Trade:
    # For their checks: these are numbers of a market, whose sums will stay exact.
    exact_product(row.price, row.base)
    try:
        exact_product(row.quote, row.base)
    except DecodeError as error:
        raise DecodeError(f"foreignNotional as the {error}") from error
    return Trade(
        symbol_of(row.symbol),
        trade_id(row.trade_id),
        ns_of_rfc3339(row.timestamp),
        row.side == "Buy",
        row.price,
        row.base,
        row.quote,
    )


@lru_cache(maxsize=symbols.CACHED)
def symbol_of(native: str) -> str:
    """Return the canonical symbol of a market.

    XBTUSD is perpetual, XBTU21 expires on the last Friday of September 2021, XBT_USDT is spot.
    ETHUSD_ETH is ETHUSD settled in Ether, another contract: ETH-USDETH-PERP.

    Raises:
        DecodeError: It is none of these.
    """
    name, _, settlement = native.partition("_")
    if settlement in _QUOTES:
        return symbols.spot(_common(name), _common(settlement))
    matched = _DATED.fullmatch(name)
    if matched is not None:
        base, quote, month, year = matched.groups()
        # Without a quote currency, Bitcoin is quoted in US dollars, all else in Bitcoin.
        quote = _common(quote or ("USD" if base == "XBT" else "XBT"))
        day = _last_friday(2000 + int(year), _MONTHS.index(month) + 1)
        return symbols.dated(_common(base), quote + settlement, day)
    for quote in _QUOTES:
        if name.endswith(quote) and name != quote:
            base = _common(name.removesuffix(quote))
            return symbols.perpetual(base, _common(quote) + settlement)
    raise DecodeError(
        f"symbol {native[:40]!r}: expected a contract like XBTUSD, ETHUSD_ETH or XBTU21, "
        "or a pair like XBT_USDT"
    )


def _common(currency: str) -> str:
    return COMMON_NAMES.get(currency, currency)


def _last_friday(year: int, month: int) -> str:
    last_day = date(year, month, calendar.monthrange(year, month)[1])
    after_friday = timedelta(days=(last_day.weekday() - calendar.FRIDAY) % 7)
    return (last_day - after_friday).strftime("%y%m%d")
